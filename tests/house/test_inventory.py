"""Every row of the inventory has a test or a reason, and its page is what the markers say."""

import ast

import pytest

from inventory import PAGE, TESTS, Proof, collect, inventory, page, proofs

SECTIONS = {"D": 7, "N": 6, "S": 8, "E": 4, "U": 11, "T": 8, "M": 3, "X": 11, "K": 3, "A": 1, "C": 3}
SECTIONS |= {"H": 22, "L": 10, "W": 10, "Z": 1}
ROWS, QUESTIONS = inventory()["rows"], inventory()["questions"]
PROOFS = proofs()


def test_the_page_is_what_the_markers_say():
    assert PAGE.read_text(encoding="utf-8") == page(), "Run: make pages"


def test_no_row_of_the_studies_is_missing():
    expected = {f"{letter}{number}" for letter, count in SECTIONS.items() for number in range(1, count + 1)}
    assert set(ROWS) == expected | {"L10 siblings"}
    assert set(QUESTIONS) == {*(f"J{number}" for number in range(1, 9)), "Q5", "Q14"}


@pytest.mark.parametrize("row", [*ROWS, *QUESTIONS])
def test_a_row_has_either_a_test_or_a_reason(row):
    fact = {**ROWS, **QUESTIONS}[row]
    assert set(fact) <= {"claim", "backlog"}
    assert fact["claim"].endswith((".", "..."))
    assert ("backlog" in fact) != (row in PROOFS)
    assert "|" not in "".join(fact.values())


def test_markers_name_rows_that_there_are():
    assert set(PROOFS) <= {*ROWS, *QUESTIONS}


def test_the_reader_sees_what_pytest_sees(request):
    known = {(row, proof.file, proof.test) for row, tests in PROOFS.items() for proof in tests}
    for item in request.session.items:
        name = ".".join(part for part in (item.cls and item.cls.__qualname__, item.originalname) if part)
        for marker in item.iter_markers("row"):
            file = item.path.relative_to(TESTS).as_posix()
            assert {(row, file, name) for row in marker.args} <= known


def test_every_kind_of_marker_is_read():
    text = """
pytestmark = pytest.mark.row("A")

@pytest.mark.row("B", "C")
@pytest.mark.parametrize("x", [1, pytest.param(2, marks=pytest.mark.row("D"))])
def test_one(x): ...

def helper(): ...

@pytest.mark.row("E")
class TestTwo:
    pytestmark = [pytest.mark.slow, pytest.mark.row("F")]

    @pytest.mark.row("A")
    def test_three(self): ...
"""
    one, three = Proof("test_x.py", "test_one"), Proof("test_x.py", "TestTwo.test_three")
    assert collect(ast.parse(text).body, "test_x.py") == [
        *((row, one) for row in "ABCD"),
        *((row, three) for row in "AEF"),
    ]
    assert one.link == "[test_one](../tests/test_x.py)"
    for marker in ("row(*ROWS)", "row(NAME)", "row()", "row(id='A')"):
        with pytest.raises(ValueError, match="plain strings"):
            collect(ast.parse(f"@pytest.mark.{marker}\ndef test_x(): ...").body, "test_x.py")
