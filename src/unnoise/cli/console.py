"""People read progress and notes on standard error; scripts read results on standard output."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from unnoise.utils.text import printable

if TYPE_CHECKING:
    from rich.console import Console


def complain(sentence: str, code: int = 2) -> int:
    """Prints one sentence to standard error; returns the exit code."""
    print(f"unnoise: {printable(' '.join(sentence.split()))}", file=sys.stderr)
    return code


def note(message: Warning | str, *_: object) -> None:
    """Prints a warning as a sentence, without file and line; takes the place of warnings.showwarning."""
    complain(str(message))


def stderr() -> "Console":
    """Where people look."""
    from rich.console import Console

    return Console(stderr=True, highlight=False)


def say(text: str) -> None:
    """Tells people what happens, on standard error."""
    stderr().print(printable(text, lines=True), markup=False, soft_wrap=True)


def result(what: str, path: Path) -> None:
    """Prints a result's path on standard output."""
    print(f"{what}: {printable(str(path))}", flush=True)


class Bar:
    """A progress bar with the time left, on standard error; a context.

    Args:
        task: what is being done.
        total: how much there is to do.
        hidden: shows nothing (in all processes but the first).
    """

    def __init__(self, task: str, total: float, *, hidden: bool = False) -> None:
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

        noted = TextColumn("{task.fields[note]}", markup=False)
        columns = (BarColumn(), TaskProgressColumn(), noted, TimeRemainingColumn())
        self._progress = Progress(
            TextColumn("{task.description}"), *columns, TextColumn("left"), console=stderr(), disable=hidden
        )
        self._task = self._progress.add_task(task, total=total, note="")

    def __enter__(self) -> "Bar":
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def advance(self, amount: float) -> None:
        """So much more is done."""
        self._progress.advance(self._task, amount)

    def show(self, completed: float, note: str) -> None:
        """So much is done in all; the note stands behind the bar."""
        self._progress.update(self._task, completed=completed, note=note)


def count(number: int, noun: str) -> str:
    """`1 picture`, `60,000 pictures`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
