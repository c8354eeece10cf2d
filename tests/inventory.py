"""Which tests prove which row of the inventory, read from their markers: `make pages` writes it.

A marker is `@pytest.mark.row("H1", "H2")` above a test or a class, `pytestmark = pytest.mark.row("H1")` in a
class or a module, or `marks=pytest.mark.row("H1")` of a single parameter.
"""

import ast
import tomllib
from pathlib import Path
from typing import NamedTuple

TESTS = Path(__file__).parent
DOCS = TESTS.parent / "docs"
ROWS, PAGE = DOCS / "inventory.toml", DOCS / "inventory.md"

HEAD = """\
# The inventory

This page is for those who want to know what is proved: what the studies behind unnoise claim and do, and the
tests that prove it here. The rows are in [inventory.toml](inventory.toml), the proofs in the tests' markers.
`make pages` writes this page; a test fails where it is stale, or where a row has neither a test nor a reason.
"""


class Proof(NamedTuple):
    """A test that names a row."""

    file: str
    test: str

    @property
    def link(self) -> str:
        return f"[{self.test}](../tests/{self.file})"


def rows_named(nodes) -> list[str]:
    """The rows that markers anywhere inside these nodes name, in order."""
    rows = []
    for node in (inner for outer in nodes for inner in ast.walk(outer)):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.mark.row":
            named = [argument.value for argument in node.args if isinstance(argument, ast.Constant)]
            if node.keywords or not named or len(named) < len(node.args):
                raise ValueError(f"A marker names its rows in plain strings, but here is {ast.unparse(node)}.")
            rows += named
    return rows


def collect(body, file: str, inherited=(), inside: str = "") -> list[tuple[str, Proof]]:
    """(row, test) for all tests of a module's or a class's body; `inside` names the class."""
    shared = [node.value for node in body if isinstance(node, ast.Assign) and _is_pytestmark(node)]
    inherited = [*inherited, *rows_named(shared)]
    found = []
    for node in body:
        if isinstance(node, ast.ClassDef) and node.name.startswith("Test"):
            own = rows_named(node.decorator_list)
            found += collect(node.body, file, [*inherited, *own], f"{inside}{node.name}.")
        elif isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            rows = dict.fromkeys([*inherited, *rows_named(node.decorator_list)])
            found += [(row, Proof(file, inside + node.name)) for row in rows]
    return found


def _is_pytestmark(node: ast.Assign) -> bool:
    return any(isinstance(target, ast.Name) and target.id == "pytestmark" for target in node.targets)


def proofs(tests: Path = TESTS) -> dict[str, list[Proof]]:
    """The tests of each row, by file and place."""
    found: dict[str, list[Proof]] = {}
    for path in sorted(tests.rglob("test_*.py")):
        for row, proof in collect(
            ast.parse(path.read_text(encoding="utf-8")).body, path.relative_to(tests).as_posix()
        ):
            found.setdefault(row, []).append(proof)
    return found


def inventory() -> dict[str, dict[str, dict[str, str]]]:
    """The rows and the questions: their ids, each with a claim, and a backlog where it has no test."""
    return tomllib.loads(ROWS.read_text(encoding="utf-8"))


def page() -> str:
    """The text of inventory.md."""
    tables, tests = inventory(), proofs()

    def table(last: str, lines) -> str:
        return "\n".join([f"| row | claim | {last} |", "| --- | --- | --- |", *lines]) + "\n"

    def proved(facts: dict[str, dict[str, str]]) -> str:
        return table(
            "tests",
            (
                f"| {row} | {fact['claim']} | {', '.join(proof.link for proof in tests.get(row, []))} |"
                for row, fact in facts.items()
                if "backlog" not in fact
            ),
        )

    rows = tables["rows"]
    backlog = table(
        "why it is not done",
        (f"| {row} | {fact['claim']} | {fact['backlog']} |" for row, fact in rows.items() if "backlog" in fact),
    )
    done = sum("backlog" not in fact for fact in rows.values())
    return "\n".join(
        [
            HEAD,
            f"## Proved: {done} rows\n",
            proved(rows),
            f"## Not done: {len(rows) - done} rows\n",
            backlog,
            "## Questions and claims of design\n",
            proved(tables["questions"]),
        ]
    )


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
