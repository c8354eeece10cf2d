"""The guide: its code runs, every question and mistake has its place, and all of it is there in Korean."""

import re
from pathlib import Path

import pytest
from babel.messages.catalog import Catalog
from babel.messages.pofile import read_po

from helpers.page_code import error_of

DOCS = Path(__file__).parents[2] / "docs"
GUIDE = sorted((DOCS / "guide").glob("*.md"))
EXECUTED = [page for page in GUIDE if "file_format: mystnb" in page.read_text(encoding="utf-8")]
KOREAN = DOCS / "locale" / "ko" / "LC_MESSAGES"


def translations(page: Path) -> Catalog:
    """The paragraphs of a page and their Korean."""
    with page.open("rb") as file:
        return read_po(file)


_CELL = re.compile(r"^```\{code-cell\}.*?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_PLACE = re.compile(r"^\(((?:q|slip-)\d+)\)=$", re.MULTILINE)


_AMOUNTS = {
    "family": ("range(350)", "range(30)"),
    "sampling": ("range(350)", "range(30)"),
    "sphere": ("range(350)", "range(30)"),
    "training": ("120", "20"),
    "own_pictures": ("minutes=0.2", "minutes=0.02"),
}
"""Training of pages whose claims do not depend on how much was learned, and how much is enough here."""


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """A cache of all pages: only the first decodes the digits."""
    return tmp_path_factory.mktemp("cache")


@pytest.mark.slow
@pytest.mark.parametrize("page", EXECUTED, ids=lambda page: page.stem)
def test_the_code_of_a_page_runs_and_what_it_claims_is_so(page, tmp_path, cache):
    cells = [re.sub(r"^:tags:.*\n", "", code) for code in _CELL.findall(page.read_text(encoding="utf-8"))]
    assert len(cells) > 2
    whole, less = _AMOUNTS.get(page.stem, ("", ""))
    assert any(whole in cell for cell in cells)
    assert error_of([cell.replace(whole, less) if whole else cell for cell in cells], tmp_path, cache) == ""


def test_every_question_and_every_mistake_has_its_place_and_a_link_to_it():
    places = {name: page.name for page in GUIDE for name in _PLACE.findall(page.read_text(encoding="utf-8"))}
    assert set(places) == {f"q{k}" for k in range(1, 15)} | {f"slip-{k}" for k in range(1, 15)}
    listed = (DOCS / "guide" / "questions.md").read_text(encoding="utf-8")
    for name, page in places.items():
        assert f"({page}#{name})" in listed


def test_every_executed_page_has_an_equation_its_code_a_figure_and_an_exercise_with_its_answer():
    for page in EXECUTED:
        text = page.read_text(encoding="utf-8")
        assert re.search(r"^\$\$", text, re.MULTILINE), page
        assert ":::{source} unnoise." in text or page.stem == "devices", page
        assert "with figure(" in text or "sheet(" in text or "slider(" in text or "run.reverse" in text, page
        assert text.index(":::{admonition} Exercise") < text.index(":::{dropdown} Answer"), page


def test_no_sentence_of_the_korean_edition_is_left_in_english_or_lost():
    for page in [*GUIDE, *(DOCS / "howto").glob("*.md")]:
        for entry in translations(KOREAN / page.parent.name / f"{page.stem}.po"):
            if not entry.id:
                continue
            assert entry.string, (page, entry.id)
            assert not entry.fuzzy, (page, entry.id)
            prose = re.sub(r"\$[^$]+\$|`[^`]+`|\]\([^)]*\)|\\[a-zA-Z]+|\{[^}]*\}", " ", entry.id)
            if len(re.findall(r"[a-z]{3,}", prose)) > 3:
                assert re.search("[가-힣]", entry.string), (page, entry.id)
            assert entry.string.count("](") == entry.id.count("]("), (page, entry.id)


def test_the_korean_edition_is_polite_throughout():
    """Sentences end in -니다, -십시오, -까요, -봅시다 and the like; none in the plain -다."""
    for page in sorted(KOREAN.rglob("*.po")):
        for entry in translations(page):
            for sentence in re.findall(r"[가-힣]+다(?=[.]\s|[.]$)", entry.string if entry.id else ""):
                assert sentence.endswith(("니다", "시다")), (page, entry.string)
