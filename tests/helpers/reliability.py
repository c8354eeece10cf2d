"""What goes wrong is a row: tried by a test, and told in docs/reliability.md as it really went.

`make pages` tries all rows and writes the page; a test fails where a row went otherwise than
the page says. A module that is named in `MODULES` gives a list of `CASES`, each made by `refused`, `read` or
`Case` itself.
"""

import contextlib
import importlib
import io
import os
import re
import shlex
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import pytest

from helpers.runs import digits, start
from helpers.sampling import last
from unnoise.cli import run
from unnoise.data import load
from unnoise.networks import limits
from unnoise.trainer.loop import train

PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"
_NAMES = ("days", "sources", "pictures", "values", "options", "runs", "pipelines")
MODULES = tuple(f"helpers.bad_{name}" for name in _NAMES)

HEAD = """\
# What goes wrong, and what unnoise says

This page is for those who ask what happens on a bad day: each row was tried on unnoise, with the answer
word for word. Wrong input gets a short message on standard error: the rule or the fact, the value that was
found, the remedy. The exit code is 2, there is no traceback, and nothing is left behind. A picture that
cannot be read costs only itself: it is named, with the reason, and the others are read.

The tests try each row and compare it with this page; `make pages` writes it. `tests/house/test_fuzz.py`
tries files that were damaged at random, and `make fuzz` does so for as long as one likes.

`tests/trainer/test_kills.py` kills runs (kill -9) at random moments and in the midst of writing files, and
resumes each: its weights, its optimiser and its averages must be those of a run that was never killed, to
the last bit. It printed: {kills}. `tests/trainer/test_interleavings.py` tries 24 random interleavings of
starts, kills, signals, second starts, full disks and logs that cannot be written: nothing trained was lost.
`tests/runs/test_checkpoint.py` cuts a state off at 200 random places, and flips a bit at 200 others: each
damage was found, and none was loaded.
"""
KILLS = "30 kills, 26 of them aimed at files, 0 differences"
HEAD = HEAD.replace("{kills}", KILLS)


@dataclass
class Place:
    """An empty folder to try something in: the current one, with a cache that is nobody else's."""

    folder: Path
    trained: Path
    patches: pytest.MonkeyPatch = field(default_factory=pytest.MonkeyPatch)

    def run(self, name: str = "run") -> Path:
        """A copy of a tiny trained run."""
        shutil.copytree(self.trained, name)
        return Path(name)

    def left(self) -> set[str]:
        """What there is, with all that lies below."""
        found = os.walk(self.folder)  # which stops, without an error, where a path is too long
        return {
            os.path.relpath(f"{at}/{name}", self.folder)
            for at, below, files in found
            for name in (*below, *files)
        }


class Outcome(NamedTuple):
    """What was typed, and what came of it, in words."""

    command: str
    said: str


@dataclass(frozen=True)
class Case:
    """A row. `act` does it all, checks what must hold, and tells what came of it."""

    group: str
    title: str
    act: Callable[[Place], Outcome]


def refused(
    group: str, title: str, prepare: Callable[[Place], Sequence[object]], *, leaves: tuple[str, ...] = ()
) -> Case:
    """A command that is refused in one sentence with exit code 2, and leaves nothing but `leaves`.

    `prepare` makes what is bad, and returns the arguments.
    """

    def act(place: Place) -> Outcome:
        arguments = [str(argument) for argument in prepare(place)]
        before = place.left()
        code, sentences = said_by(arguments)
        assert code == 2, (code, sentences)
        assert len(sentences) == 1, sentences
        assert sentences[0].endswith("."), sentences
        new = {path for path in place.left() - before if not path.startswith(leaves or "\0")}
        assert not new, new
        return Outcome(shlex.join(["unnoise", *arguments]), sentences[0])

    return Case(group, title, act)


def read(group: str, title: str, prepare: Callable[[Place], str], *, good: int = 2) -> Case:
    """Pictures of which some are named as skipped, and `good` are read; nothing is written but the cache.

    `prepare` makes them, and returns what they are called.
    """

    def act(place: Place) -> Outcome:
        source = prepare(place)
        before = place.left()
        images = load(source, size=(8, 8), channels=3)
        assert len(images) == good
        assert place.left() == before
        names = [f"Skipped {one.name}: {one.reason}." for one in images.skipped]
        read_well = f"{good} pictures read." if good > 1 else "1 picture read."
        return Outcome(f"load({source!r}, size=(8, 8))", " ".join([*names, read_well]))

    return Case(group, title, act)


def said_by(arguments: list[str]) -> tuple[int, list[str]]:
    """The exit code of a command, and the sentences on standard error."""
    told, shown = io.StringIO(), io.StringIO()
    with warnings.catch_warnings(), contextlib.redirect_stderr(told), contextlib.redirect_stdout(shown):
        warnings.simplefilter("default")
        code = run(arguments)
    mark = "unnoise: "
    found = [line.removeprefix(mark) for line in told.getvalue().splitlines() if line.startswith(mark)]
    assert "Traceback" not in told.getvalue() + shown.getvalue()
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f]", told.getvalue() + shown.getvalue())
    return code, found


@contextlib.contextmanager
def place(trained: Path) -> Iterator[Place]:
    """A folder of its own, for one case."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as outer:
        folder = Path(outer).resolve() / "here"
        folder.mkdir()
        os.chdir(folder)
        made = Place(folder, trained)
        made.patches.setenv("UNNOISE_CACHE", str(folder.parent / "cache"))
        made.patches.setattr(
            limits, "total_memory", lambda: 16_000_000_000
        )  # as the page has to say the same anywhere
        try:
            yield made
        finally:
            made.patches.undo()
            os.chdir(before)


def a_run(folder: Path) -> Path:
    """A tiny run on the digits, trained for 3 steps."""
    made = start(folder / "run", 3)
    last(train(made, digits()))
    return made.path


def cases() -> list[Case]:
    """Of all modules, in their order."""
    return [case for name in MODULES for case in importlib.import_module(name).CASES]


def row(case: Case, trained: Path) -> str:
    """Tries it, and tells it as a line of the page."""
    with place(trained) as here:
        found = case.act(here)
        said = found.said.replace(f"{here.folder}/", "").replace(str(here.folder), ".")
        said = re.sub(r"\d+ (bytes not processed)", r"some \1", said)  # as many as a buffer had left
    return f"| {_escaped(case.title)} | `{_shortened(found.command)}` | {_escaped(_shortened(said))} |"


def _shortened(text: str) -> str:
    text = re.sub(r"(\S)\1{40,}", r"\1\1\1…", text)
    return text.replace("|", "\\|") if len(text) <= 420 else text[:400].replace("|", "\\|") + " …"


def _escaped(text: str) -> str:
    """As Markdown shows it plainly, but for what stands between backticks."""
    parts = text.split("`")
    parts[::2] = [re.sub(r"([*_<\[\]~])", r"\\\1", part) for part in parts[::2]]
    return "`".join(parts)


def page(rows: Sequence[tuple[Case, str]]) -> str:
    """The text of reliability.md."""
    parts = [HEAD]
    for group in dict.fromkeys(case.group for case, _ in rows):
        parts.append(f"## {group}\n")
        parts.append("| What was given | Tried | What unnoise said |\n| --- | --- | --- |")
        parts += [line for case, line in rows if case.group == group]
        parts.append("")
    return "\n".join(parts)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        once = a_run(Path(folder))
        PAGE.write_text(page([(case, row(case, once)) for case in cases()]), encoding="utf-8")
