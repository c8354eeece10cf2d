"""README and pages of docs/: their examples run, and their links lead to files."""

import re
from pathlib import Path
from typing import get_args

import pytest
import torch

from unnoise.diffusion.sampler_names import SamplerName
from unnoise.runs.presets import PRESETS

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / ".github").glob("*.md"), *(ROOT / "docs").rglob("*.md")])


def examples(page: str) -> str:
    """The Python of a page, with a few steps of training in place of many."""
    code = "".join(re.findall(r"```python\n(.*?)```", page, re.DOTALL))
    assert "range(500)" in code
    return code.replace("range(500)", "range(3)")


def test_the_python_example_of_the_readme_runs():
    names: dict[str, object] = {}
    exec(examples(README), names)  # noqa: S102 (our own README)
    pictures = names["pictures"]
    assert isinstance(pictures, torch.Tensor)
    assert pictures.shape == (16, 1, 8, 8)


def test_the_python_examples_of_the_library_page_run(tmp_path, monkeypatch):
    from helpers.runs import digits, start
    from unnoise.trainer.loop import train

    monkeypatch.chdir(tmp_path)
    list(train(start(Path("runs/mine"), 1), digits()))
    names: dict[str, object] = {}
    exec(examples((ROOT / "docs" / "python.md").read_text(encoding="utf-8")), names)  # noqa: S102
    assert names["prediction"].images.shape == (4, 1, 8, 8)
    assert names["faster"].shape == (16, 1, 8, 8)
    assert names["denoiser"].image_shape == (1, 8, 8)


def test_the_readme_is_short():
    assert len(README.splitlines()) <= 120


def test_every_preset_is_described():
    page = README + (ROOT / "docs" / "presets-published.md").read_text(encoding="utf-8")
    assert all(f"| `{name}` |" in page for name in PRESETS)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_and_pictures_lead_to_files(page):
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for link in re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r'src="([^"]+)"', text):
        if not link.startswith(("http", "#")):
            assert (page.parent / link.partition("#")[0]).exists(), f"{page.name}: {link}"


def test_every_sampler_is_in_the_table_of_the_commands():
    table = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    assert [name for name in get_args(SamplerName) if f"`{name}`" not in table] == []
