"""Docstrings in plain text, made ready for Sphinx, which reads reStructuredText.

They are written to be read in an editor: formulas as indented lines, names in single backticks, plain symbols.
"""

import re

from sphinx.application import Sphinx

_SECTION = re.compile(r"(Args|Returns|Yields|Raises|Attributes|Example|Note):$")
_CODE = re.compile(r"(`[^`]+`)")


def escaped(line: str) -> str:
    """A line of prose: names in backticks as code, and nothing else with a meaning of its own."""
    pieces = _CODE.split(line)
    return "".join(
        f"``{piece[1:-1]}``"
        if piece.startswith("`") and len(piece) > 2
        else re.sub(r"([*|_\\])", r"\\\1", piece)
        for piece in pieces
    )


def ready(lines: list[str]) -> list[str]:
    """Lines of a docstring, its formulas as literal blocks."""
    result: list[str] = []
    section = formula = False
    for line in lines:
        indent = len(line) - len(line.lstrip())
        if not line.strip():
            result.append("")
            continue
        if _SECTION.match(line):
            section, formula = True, False
            result.append(line)
            continue
        if indent == 0:
            section = formula = False
        if not section and indent >= 4:
            if not formula:
                result += ["::", ""]
                formula = True
            result.append(line)
            continue
        if section and ":" in line and indent == 4:  # a name that napoleon reads
            name, rest = line.split(":", 1)
            result.append(f"{name}:{escaped(rest)}")
        else:
            result.append(escaped(line))
    return result


def prepare(_app: Sphinx, _what: str, _name: str, _value: object, _options: object, lines: list[str]) -> None:
    """Replaces the lines before napoleon reads their sections."""
    lines[:] = ready(lines)


def setup(app: Sphinx) -> dict[str, bool]:
    """Listens to docstrings, before others do."""
    app.connect("autodoc-process-docstring", prepare, priority=100)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
