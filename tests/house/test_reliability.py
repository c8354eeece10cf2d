"""Every row of docs/reliability.md is tried, and went as the page says."""

import pytest

from helpers.reliability import PAGE, a_run, cases, page, row

CASES = cases()


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return a_run(tmp_path_factory.mktemp("runs"))


@pytest.mark.parametrize("case", CASES, ids=[case.title for case in CASES])
def test_a_row_went_as_the_page_says(case, trained):
    assert row(case, trained) in PAGE.read_text(encoding="utf-8"), "Run: make pages"


def test_the_page_has_these_rows_and_no_others():
    text = PAGE.read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    rows = [line for line in lines if not line.startswith(("| What was given", "| ---"))]
    assert len(rows) == len(CASES)
    assert page(list(zip(CASES, rows, strict=True))) == text, "Run: make pages"


def test_titles_tell_rows_apart():
    titles = [(case.group, case.title) for case in CASES]
    assert len(set(titles)) == len(titles)
