"""Overview of all benchmarks: docs/benchmarks.md, with one row for each page.

    python -m benchmarks.overview

Measures nothing. Every page starts with its title, a paragraph that says what the page is for, and a paragraph
(or list) with the result. Further down it names the command that made it and the date.
"""

import argparse
import re
from pathlib import Path
from typing import NamedTuple

from benchmarks.report import publish, table
from benchmarks.suite import BENCHMARKS

NAME = "benchmarks"

_COMMAND = re.compile(r"^(python -m benchmarks\.\w+.*)$", re.MULTILINE)
_DATE = re.compile(r"\b20\d\d-\d\d-\d\d\b")


class Summary(NamedTuple):
    """Summary of a page: its title, its result, the command that made it, and the latest date on it."""

    title: str
    result: str
    command: str
    date: str


def read(path: Path) -> Summary:
    """The summary of this page.

    Raises:
        ValueError: when it does not start with title, purpose and result, or names no command.
    """
    text = path.read_text(encoding="utf-8")
    title, purpose, found = (*text.split("\n\n", 3), "", "")[:3]
    result = " ".join(line.removeprefix("- ") for line in found.splitlines())
    command = _COMMAND.search(text)
    if not title.startswith("# ") or not purpose[:1].isalpha() or not result.endswith("."):
        raise ValueError(f"{path} does not start with a title, a sentence on its purpose, and its result")
    if command is None:
        raise ValueError(f"{path} does not name the command that makes it")
    return Summary(title.removeprefix("# "), result, command[1], max(_DATE.findall(text), default=""))


def rows(docs: Path) -> str:
    """The table: a row for each benchmark that has a page in this folder."""
    cells = []
    for one in BENCHMARKS:
        if (docs / one.file).exists():
            found = read(docs / one.file)
            cells.append([f"[{found.title}]({one.file})", found.result, f"`{found.command}`", found.date])
    return table(["page", "result", "command", "date"], cells, texts=(0, 1, 2, 3))


def main() -> None:
    """Writes the overview."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--docs", type=Path, default=Path("docs"), help="the folder of the pages")
    docs = parser.parse_args().docs
    try:
        publish(NAME, __doc__, {"overview": rows(docs)}, docs)
    except ValueError as error:
        raise SystemExit(f"Cannot write the overview: {error}.") from None


if __name__ == "__main__":
    main()
