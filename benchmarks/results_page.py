"""What was found stands on one page, drawn from the pages of the parts: a line for each.

    python -m benchmarks.results_page

A page opens with its title, and a paragraph whose first sentence is what was found; where that is a question,
the list below it is the answer. Further down the page names the command that made it (`python -m
benchmarks...`), and says when.
"""

import argparse
import re
from pathlib import Path
from typing import NamedTuple

from benchmarks.parts import PARTS
from benchmarks.reports import publish, table

NAME = "benchmarks.md"

_COMMANDS = (
    re.compile(r"^(python -m benchmarks\.\w+.*)$", re.MULTILINE),
    re.compile(r"`(python -m benchmarks\.[^`]+)`"),
)
"""In a block of its own, or else within a sentence, which may also name others."""
_DATE = re.compile(r"\b20\d\d-\d\d-\d\d\b")
_END_OF_SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[A-Z*`])")


class Found(NamedTuple):
    """What a page says: its title and first sentence, the command that makes it, and when it last did."""

    title: str
    headline: str
    command: str
    date: str


def read(path: Path) -> Found:
    """What this page says.

    Raises:
        ValueError: when it has no title, opens with no sentence, or names no command.
    """
    text = path.read_text(encoding="utf-8")
    title, first, second = (*text.split("\n\n", 3), "", "")[:3]
    headline = _END_OF_SENTENCE.split(" ".join(first.split()))[0]
    if headline.endswith("?") and second.startswith("- "):
        headline = " ".join(line.removeprefix("- ").strip() for line in second.splitlines())
    command = next((found for pattern in _COMMANDS if (found := pattern.search(text))), None)
    if not title.startswith("# ") or not headline.endswith(".") or headline.startswith(("|", "- ", "!", "```")):
        raise ValueError(f"{path} does not open with a title and a sentence that says what was found")
    if command is None:
        raise ValueError(f"{path} does not name the command that makes it")
    return Found(title.removeprefix("# "), headline, command[1], max(_DATE.findall(text), default=""))


def page(docs: Path) -> list[str]:
    """The paragraphs of docs/benchmarks.md, from the pages that are there."""
    rows = []
    for part in PARTS:
        if (docs / part.file).exists():
            found = read(docs / part.file)
            rows.append([f"[{found.title}]({part.file})", found.headline, f"`{found.command}`", found.date])
    return [
        "# What was measured",
        "`make bench` measures all of it, one part after the other, and draws this page from theirs: what was "
        "asked, the first sentence of the answer, the command that measures it again, and when it last did. "
        "The machine stands on each page.",
        table(["asked", "found", "command", "date"], rows, texts=(0, 1, 2, 3)),
    ]


def draw(docs: Path) -> Path:
    """Writes the page; returns where."""
    publish(docs / NAME, *page(docs))
    return docs / NAME


def main() -> None:
    """Draws the page anew, and measures nothing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--docs", type=Path, default=Path("docs"), help="the folder of the pages")
    print(f"page: {draw(parser.parse_args().docs)}")


if __name__ == "__main__":
    main()
