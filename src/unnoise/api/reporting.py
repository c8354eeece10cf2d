"""Reporting: whom the functions of the front door tell what they do, and how far they are.

Each function tells messages, tables, files and progress to the reporter of its context. The command line sets
one that prints; `unnoise.api.notebook` has that of Python and notebooks; `progress=` takes any callable.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeAlias, runtime_checkable

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

    from unnoise.data.progress import Progress as ReadingProgress

    Part: TypeAlias = "Table | Text | str"

Progress: TypeAlias = Callable[[float, str], object]
"""Called with the fraction that is done, 0 to 1, and what is being done."""


@runtime_checkable
class Bar(Protocol):
    """Progress of one task; a context."""

    def __enter__(self) -> "Bar":
        """Shows it."""

    def __exit__(self, *_: object) -> None:
        """Ends it."""

    def advance(self, amount: float) -> None:
        """Adds to what is done."""

    def update(self, completed: float, note: str) -> None:
        """Sets what is done in all, and a note on it."""


@runtime_checkable
class Reporter(Protocol):
    """Where messages, results and progress go."""

    @property
    def moving(self) -> bool:
        """Whether progress is seen while it moves; if not, training tells a message a minute."""

    @property
    def reading(self) -> "ReadingProgress":
        """How `unnoise.data` shows the progress of reading pictures."""

    def message(self, text: "Part") -> None:
        """A sentence, or a table, for people."""

    def output(self, *parts: "Part") -> None:
        """Tables and lines of text that were asked for."""

    def result(self, what: str, path: Path) -> None:
        """A file or folder that was written."""

    def picture(self, path: Path) -> None:
        """A picture that is worth a look while work goes on, such as a sheet of samples."""

    def bar(self, task: str, total: float) -> Bar:
        """Progress of a task, in parts of `total`."""


class Silent:
    """A reporter of nothing. Also a bar that shows nothing."""

    moving = True
    reading = False

    def message(self, text: "Part") -> None:
        """Nothing."""

    def output(self, *parts: "Part") -> None:
        """Nothing."""

    def result(self, what: str, path: Path) -> None:
        """Nothing."""

    def picture(self, path: Path) -> None:
        """Nothing."""

    def bar(self, task: str, total: float) -> Bar:
        """Nothing."""
        return self

    def __enter__(self) -> "Silent":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def advance(self, amount: float) -> None:
        """Nothing."""

    def update(self, completed: float, note: str) -> None:
        """Nothing."""


class Passing:
    """A reporter that passes everything on to another; the base of those that do one thing themselves."""

    def __init__(self, others: Reporter) -> None:
        self._others = others

    def __getattr__(self, name: str) -> object:
        return getattr(self._others, name)


class Calling(Passing):
    """A reporter that calls `progress` with each step of a bar, and passes on all else."""

    moving = True

    def __init__(self, progress: Progress, others: Reporter) -> None:
        super().__init__(others)
        self._progress = progress

    @property
    def reading(self) -> "ReadingProgress":
        """Bars that call as well."""
        return self.bar

    def bar(self, task: str, total: float) -> Bar:
        """A bar that calls."""
        return CallingBar(self._progress, task, total)


class CallingBar(Silent):
    """A bar that calls `progress(fraction, "task: note")`."""

    def __init__(self, progress: Progress, task: str, total: float) -> None:
        self._progress, self._task, self._total, self._done, self._note = progress, task, total, 0.0, ""

    def advance(self, amount: float) -> None:
        """Adds to what is done."""
        self.update(self._done + amount, self._note)

    def update(self, completed: float, note: str) -> None:
        """Sets what is done in all, and the note."""
        self._done, self._note = completed, note
        text = f"{self._task}: {note}" if note else self._task
        self._progress(min(1.0, completed / self._total) if self._total else 1.0, text)


_current: ContextVar[Reporter | None] = ContextVar("reporter", default=None)


class Collecting(Passing):
    """A reporter that keeps the tables and texts that were asked for in `parts`, and passes everything on."""

    def __init__(self, others: Reporter) -> None:
        super().__init__(others)
        self.parts: list[Part] = []

    def output(self, *parts: "Part") -> None:
        """Keeps them."""
        self.parts += parts
        self._others.output(*parts)


@contextmanager
def collecting() -> "Iterator[list[Part]]":
    """Context that gives a list of all tables and texts that are told in it."""
    keeps = Collecting(reporter())
    with reporting(keeps):  # type: ignore[arg-type]
        yield keeps.parts


def reporter() -> Reporter:
    """The reporter of this context: of the command line where it called, else that of Python."""
    found = _current.get()
    if found is None:
        from unnoise.api.notebook import python_reporter

        found = python_reporter()
        _current.set(found)
    return found


@contextmanager
def reporting(to: Reporter | Progress | None) -> Iterator[None]:
    """Context in which a reporter, or a callable for progress, is told; with None nothing changes."""
    if to is None:
        yield
        return
    token = _current.set(to if hasattr(to, "bar") else Calling(to, reporter()))  # type: ignore[arg-type]
    try:
        yield
    finally:
        _current.reset(token)


def speaks_for_all() -> bool:
    """Whether this process is the first of those that a launcher started, or the only one."""
    return os.environ.get("RANK", "0") == "0"


def tell(text: "Part") -> None:
    """Tells people a sentence, or a table."""
    reporter().message(text)


def tell_result(what: str, path: Path) -> None:
    """Tells which file was written."""
    reporter().result(what, path)


def tell_output(*parts: "Part") -> None:
    """Tells tables and lines of text that were asked for."""
    reporter().output(*parts)


def tell_picture(path: Path) -> None:
    """Tells of a picture that is worth a look while work goes on."""
    reporter().picture(path)


def progress_bar(task: str, total: float, *, hidden: bool = False) -> Bar:
    """Progress of a task, in parts of `total`; a context.

    Args:
        task: what is being done.
        total: how much there is to do.
        hidden: tells nobody (in all processes but the first).
    """
    return Silent() if hidden else reporter().bar(task, total)


def amount(number: float, units: str) -> str:
    """`1 minute`, `2.5 minutes`, from the plural."""
    return f"{number:g} {units.removesuffix('s') if number == 1 else units}"


def count(number: int, noun: str) -> str:
    """`1 picture`, `60,000 pictures`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
