"""Tests of benchmark pages: tables between markers, pages, and their overview."""

from argparse import Namespace
from pathlib import Path

import pytest

from benchmarks import overview, report
from benchmarks.suite import BENCHMARKS

DOCS = Path(__file__).parents[2] / "docs"


def test_tables_are_markdown():
    text = report.table(["what", "1", "2"], [["a|b", "0.5", "10"]])
    assert text == "| what | 1 | 2 |\n| --- | ---: | ---: |\n| a\\|b | 0.5 | 10 |\n"


def test_only_the_text_between_markers_is_replaced():
    page = f"# Title\n\nBefore.\n\n{report.block('one', 'old')}\n\nBetween.\n\n{report.block('two', 'kept')}\n"
    new = report.filled(page, {"one": "| a \\1 |", "three": "added"})
    assert new.startswith("# Title\n\nBefore.\n\n<!-- table: one -->\n\n| a \\1 |\n\n<!-- end -->\n\nBetween.")
    assert report.block("two", "kept") in new
    assert new.endswith(f"{report.block('three', 'added')}\n")
    assert report.filled(new, {"one": "old"}) == report.filled(page, {"three": "added"})


def test_a_page_that_is_not_there_is_made_from_the_description(tmp_path, capsys):
    description = "What it is.\n\n    python -m benchmarks.x\n\nHow it\nis measured.\n"
    report.publish("page", description, {"made": "the command"}, tmp_path)
    text = (tmp_path / "page.md").read_text()
    assert text.startswith("# What it is\n\nHow it is measured.\n\nNobody has summed up these tables yet.\n")
    assert "the command" in text
    assert str(tmp_path / "page.md") in capsys.readouterr().out


def test_a_quick_trial_writes_a_page_only_where_it_is_asked_to(tmp_path, capsys):
    assert report.folder_for(Namespace(quick=True, docs=None)) is None
    assert report.folder_for(Namespace(quick=False, docs=None)) == Path("docs")
    assert report.folder_for(Namespace(quick=True, docs=tmp_path)) == tmp_path
    report.publish("page", "Title.", {"one": "| a |"}, None)
    assert capsys.readouterr().out == "| a |\n"


def test_a_page_names_its_command_the_date_and_the_machine():
    text = report.made("growth", "--quick", "One turn.", libraries=["numpy", "no-such-library"])
    assert text.startswith("```sh\npython -m benchmarks.growth --quick\n```\n\nOne turn. Measured on 20")
    assert report.processor() in text
    assert "no-such-library" not in text


# --- the overview -------------------------------------------------------------------------------------------


def test_the_overview_is_made_of_the_pages():
    page = (DOCS / "benchmarks.md").read_text(encoding="utf-8")
    assert report.filled(page, {"overview": overview.rows(DOCS)}) == page, "Run: python -m benchmarks.overview"


def test_every_page_of_a_benchmark_names_its_command():
    pages = {path.name for path in DOCS.glob("*.md") if "python -m benchmarks." in path.read_text()}
    by_file = {one.file: one for one in BENCHMARKS}
    # Others measure nothing by themselves: entries of the speedrun are named by those who take part.
    assert pages - {"benchmarks.md", "log.md", "speedrun.md"} == by_file.keys()
    for file, one in by_file.items():
        assert overview.read(DOCS / file).command.split()[:3] == ["python", "-m", f"benchmarks.{one.module}"]


PAGE = "# How fast?\n\nPurpose.\n\n- It takes\n- 2 s.\n\n```sh\npython -m benchmarks.startup --quick\n```\n"


def test_a_summary_has_title_result_command_and_latest_date(tmp_path):
    path = tmp_path / "page.md"
    path.write_text(PAGE + "\nOn 2026-01-31, and then on 2026-02-01.\n")
    expected = ("How fast?", "It takes 2 s.", "python -m benchmarks.startup --quick", "2026-02-01")
    assert overview.read(path) == expected


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("# How fast?", "How fast?", "does not start with a title"),
        ("Purpose.", "| a | b |", "does not start with a title"),
        ("2 s.", "2 s", "does not start with a title"),
        ("python -m benchmarks.startup", "python -m unnoise", "does not name the command"),
    ],
)
def test_a_page_without_title_purpose_result_or_command_is_refused(tmp_path, old, new, reason):
    path = tmp_path / "page.md"
    path.write_text(PAGE.replace(old, new))
    with pytest.raises(ValueError, match=reason):
        overview.read(path)
