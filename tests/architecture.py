"""List of modules in docs/architecture.md, from the first lines of their docstrings; `make pages` writes it."""

import ast
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE, PACKAGE = ROOT / "docs" / "architecture.md", ROOT / "src" / "unnoise"
BEGIN, END = "<!-- modules -->\n", "<!-- end of modules -->\n"


def first_line(path: Path) -> str:
    """The first line of a module's docstring, without its full stop."""
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return docstring.partition("\n")[0].rstrip(".")


def lines(folder: Path, depth: int = 0) -> list[str]:
    """One line for each module of a package, its own modules first, then its packages."""
    indent, modules = "  " * depth, (path for path in sorted(folder.glob("*.py")) if path.name != "__init__.py")
    found = [f"{indent}- `{path.name}`: {first_line(path)}" for path in modules]
    for inside in sorted(path.parent for path in folder.glob("*/__init__.py")):
        found.append(f"{indent}- **`{inside.name}/`**: {first_line(inside / '__init__.py')}")
        found += lines(inside, depth + 1)
    return found


def page() -> str:
    """The text of architecture.md, with the list as it is now."""
    text = PAGE.read_text(encoding="utf-8")
    head, _, rest = text.partition(BEGIN)
    return f"{head}{BEGIN}\n{chr(10).join(lines(PACKAGE))}\n\n{END}{rest.partition(END)[2]}"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
