"""Workflows, forms, citation and release: they agree with pyproject.toml, the Makefile and the version."""

import re
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml

import release_check
import unnoise

ROOT = Path(__file__).parents[2]
GITHUB = ROOT / ".github"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
WORKFLOWS = sorted((GITHUB / "workflows").glob("*.yml"))
FORMS = sorted(path for path in (GITHUB / "ISSUE_TEMPLATE").glob("*.yml") if path.name != "config.yml")


def read(path: Path) -> dict:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def steps(workflow: dict) -> list[dict]:
    return [step for job in workflow["jobs"].values() for step in job["steps"]]


def test_the_documentation_stays_small():
    """A clone carries every picture that was ever committed."""
    kinds = {".md", ".po", ".webp", ".png", ".gif", ".svg", ".csv"}
    files = [path for path in (ROOT / "docs").rglob("*") if path.suffix in kinds]
    assert len(files) > 50
    assert sum(path.stat().st_size for path in files) < 3 * 2**20


def named(paths: list[Path]):
    return pytest.mark.parametrize("path", paths, ids=lambda path: path.stem)


def test_there_are_workflows_and_forms():
    assert [path.stem for path in WORKFLOWS] == ["docs", "release", "tests"]
    assert [path.stem for path in FORMS] == ["bug", "feature", "question"]


@named(WORKFLOWS)
def test_a_workflow_may_only_read_unless_a_job_says_more(path):
    workflow = read(path)
    assert workflow["permissions"] == {"contents": "read"}
    assert {"group", "cancel-in-progress"} == set(workflow["concurrency"])
    assert all({"runs-on", "timeout-minutes", "steps"} <= set(job) for job in workflow["jobs"].values())
    more = {name: job["permissions"] for name, job in workflow["jobs"].items() if "permissions" in job}
    assert (
        more
        == {
            "tests": {},
            "docs": {"deploy": {"pages": "write", "id-token": "write"}},
            "release": {"publish": {"id-token": "write"}, "announce": {"contents": "write"}},
        }[path.stem]
    )


@named(WORKFLOWS)
def test_steps_use_a_major_version_or_run_targets_of_the_makefile(path):
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    for step in steps(read(path)):
        assert ("uses" in step) != ("run" in step)
        assert re.fullmatch(r"actions/[a-z-]+@v\d+|pypa/[a-z-]+@release/v\d+|", step.get("uses", ""))
        assert set(re.findall(r"\bmake ([a-z-]+)", step.get("run", ""))) <= targets


@named(WORKFLOWS)
def test_no_text_of_others_is_pasted_into_a_script(path):
    """Names of branches and titles are written by anyone; scripts get values by their environment."""
    assert not any("${{" in step.get("run", "") for step in steps(read(path)))


def test_every_workflow_of_the_docs_and_releases_calls_its_target():
    called = {path.stem: " ".join(step.get("run", "") for step in steps(read(path))) for path in WORKFLOWS}
    assert re.search(r"\bmake test$", called["tests"])
    assert re.search(r"\bmake docs\b(?!-)", called["docs"])
    assert "make docs-links" in called["docs"]
    assert "make release-check" in called["release"]


def matrix() -> dict:
    return read(GITHUB / "workflows" / "tests.yml")["jobs"]["test"]["strategy"]["matrix"]


def test_every_python_of_the_classifiers_is_tested():
    words = "Programming Language :: Python :: 3."
    pythons = [f"3.{name.removeprefix(words)}" for name in PROJECT["classifiers"] if name.startswith(words)]
    assert matrix()["python"] == pythons
    assert PROJECT["requires-python"] == f">={pythons[0]}"
    assert [int(python.partition(".")[2]) for python in pythons] == list(range(11, 11 + len(pythons)))


def test_the_oldest_torch_that_is_tested_is_that_of_the_range():
    (torch,) = (one for one in PROJECT["dependencies"] if one.startswith("torch>="))
    oldest = torch.removeprefix("torch>=").partition(",")[0]
    tested, *others = matrix()["torch"]
    assert tested == f"{oldest}.0"
    assert others == ["newest"]
    assert [one["torch"] for one in matrix()["exclude"]] == [tested]


def test_macos_is_tested_with_one_python_and_linux_with_all():
    assert matrix()["system"] == ["ubuntu-latest"]
    (other,) = matrix()["include"]
    assert other["system"] == "macos-latest"
    assert other["python"] in matrix()["python"]


def test_the_citation_is_of_this_version():
    citation = read(ROOT / "CITATION.cff")
    assert citation["cff-version"] == "1.2.0"
    assert citation["version"] == unnoise.__version__
    assert citation["license"] == PROJECT["license"]
    assert citation["repository-code"] == PROJECT["urls"]["Source"]
    assert citation["authors"] == PROJECT["authors"]
    assert {"message", "title"} <= set(citation)


@named(FORMS)
def test_a_form_has_what_github_needs(path):
    form = read(path)
    assert all(isinstance(form[key], str) and form[key] for key in ("name", "description"))
    assert form["labels"]
    asked = [element for element in form["body"] if element["type"] != "markdown"]
    identifiers = [element["id"] for element in asked]
    assert identifiers
    assert len(set(identifiers)) == len(identifiers)
    assert all(re.fullmatch(r"[\w-]+", one, re.ASCII) for one in identifiers)
    for element in form["body"]:
        assert set(element) <= {"type", "id", "attributes", "validations"}
        needed = {"markdown": {"value"}, "checkboxes": {"label", "options"}}.get(element["type"], {"label"})
        assert needed <= set(element["attributes"])
        assert element["type"] in {"markdown", "textarea", "input", "checkboxes"}
        assert all(option["label"] for option in element["attributes"].get("options", []))


def test_the_list_of_forms_has_what_github_needs():
    config = read(GITHUB / "ISSUE_TEMPLATE" / "config.yml")
    assert set(config) == {"blank_issues_enabled", "contact_links"}
    assert isinstance(config["blank_issues_enabled"], bool)
    for link in config["contact_links"]:
        assert set(link) == {"name", "url", "about"}
        assert link["url"].startswith("https://github.com/unnoise/unnoise/")


@named(sorted(GITHUB.glob("*.md")))
def test_links_lead_to_files(path):
    text = path.read_text(encoding="utf-8")
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        place = link.removeprefix("https://github.com/unnoise/unnoise/blob/main/")
        if place != link:
            assert (ROOT / place).is_file(), link
        elif not link.startswith("http"):
            assert (path.parent / link.partition("#")[0]).exists(), link


def written_sdist(folder: Path, extra: dict[str, bytes]) -> Path:
    path = folder / "unnoise-1.tar.gz"
    for name, content in (dict.fromkeys(release_files(), b"x") | extra).items():
        file = folder / "unnoise-1" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    with tarfile.open(path, "w:gz") as archive:
        archive.add(folder / "unnoise-1", "unnoise-1")
    return path


def release_files() -> set[str]:
    return release_check.tracked("src") | {"LICENSE", "README.md", "pyproject.toml"}


@pytest.mark.parametrize(
    "extra", [{"src/unnoise/photos.npz": b"x"}, {"docs/page.md": bytes(200_000)}, {"docs/picture.png": b"x"}]
)
def test_data_and_large_files_in_an_sdist_are_found(tmp_path, extra):
    with pytest.raises(release_check.CheckError, match=f"holds unnoise-1/{next(iter(extra))} of"):
        release_check.check_sdist(written_sdist(tmp_path, extra))


def test_an_sdist_of_the_sources_is_right(tmp_path):
    assert release_check.check_sdist(written_sdist(tmp_path, {})).startswith(f"{len(release_files())} files")


@pytest.mark.parametrize("lost", [None, "py.typed", "runs/measured.toml", "export/web/page/index.html"])
def test_package_data_that_a_wheel_lacks_is_found(tmp_path, lost):
    path = tmp_path / "unnoise-1-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name in release_check.tracked("src"):
            if name != f"src/unnoise/{lost}":
                archive.writestr(name.removeprefix("src/"), "x")
        archive.writestr("unnoise-1.dist-info/METADATA", "x")
    if lost is None:
        assert "package data" in release_check.check_wheel(path)
    else:
        with pytest.raises(release_check.CheckError, match=f"lacks .*{lost}"):
            release_check.check_wheel(path)
