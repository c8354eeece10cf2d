"""Reporter that prints in terminals and logs: results on standard output, all else on standard error."""

import io
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from unnoise.utils.text import SPELL_OUT, printable

if TYPE_CHECKING:
    from rich.console import Console

    from unnoise.api.reporting import Part


_NARROWEST = 20
"""Columns of a window below which COLUMNS is not believed."""


def prepare_terminal() -> None:
    """Lets standard output and error print any text, whatever their encoding; ignores an unusable COLUMNS."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            with suppress(OSError, ValueError):  # a closed stream, or one that cannot be flushed
                stream.reconfigure(errors=SPELL_OUT)
    columns = os.environ.get("COLUMNS", "")
    if columns and not (columns.isascii() and columns.isdigit() and int(columns) >= _NARROWEST):
        del os.environ["COLUMNS"]


def print_error(sentence: str, code: int = 2) -> int:
    """Prints one sentence on standard error; returns the exit code."""
    print(f"unnoise: {printable(' '.join(sentence.split()))}", file=sys.stderr)
    return code


def print_warning(message: Warning | str, *_: object) -> None:
    """Prints a warning as one sentence, without file and line. It replaces `warnings.showwarning`."""
    print_error(str(message))


class TerminalReporter:
    """Prints what functions tell."""

    reading = True
    """With a bar that is gone afterwards."""

    @property
    def moving(self) -> bool:
        """Whether standard error is a terminal."""
        return error_console().is_terminal

    def message(self, text: "Part") -> None:
        """Prints a sentence, or a table, on standard error."""
        if isinstance(text, str):
            error_console().print(printable(text, lines=True), markup=False, soft_wrap=True)
        else:
            error_console().print(text)

    def output(self, *parts: "Part") -> None:
        """Prints tables and lines of text on standard output."""
        console = output_console()
        for part in parts:
            text = isinstance(part, str)
            console.print(
                printable(part, lines=True) if isinstance(part, str) else part, markup=False, soft_wrap=text
            )

    def result(self, what: str, path: Path) -> None:
        """Prints the path of a result on standard output."""
        print(f"{what}: {printable(str(path))}", flush=True)

    def picture(self, path: Path) -> None:
        """Nothing: terminals show no pictures."""

    def bar(self, task: str, total: float) -> "ProgressBar":
        """A progress bar on standard error."""
        return ProgressBar(task, total)


def error_console() -> "Console":
    """The console of standard error, where people read."""
    from rich.console import Console

    return Console(stderr=True, highlight=False)


def output_console() -> "Console":
    """The console of standard output. Rich itself would end the process where the reader has left."""
    from rich.console import Console

    class OutputConsole(Console):
        """A console that raises BrokenPipeError, which `unnoise.cli.run` expects."""

        def on_broken_pipe(self) -> None:
            raise BrokenPipeError

    return OutputConsole(highlight=False)


class ProgressBar:
    """A progress bar with the time left, on standard error; a context.

    Args:
        task: what is being done.
        total: how much there is to do.
    """

    def __init__(self, task: str, total: float) -> None:
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

        note = TextColumn("{task.fields[note]}", markup=False)
        columns = (BarColumn(), TaskProgressColumn(), note, TimeRemainingColumn())
        self._progress = Progress(
            TextColumn("{task.description}"), *columns, TextColumn("left"), console=error_console()
        )
        self._task = self._progress.add_task(task, total=total, note="")

    def __enter__(self) -> "ProgressBar":
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def advance(self, amount: float) -> None:
        """Adds to what is done."""
        self._progress.advance(self._task, amount)

    def update(self, completed: float, note: str) -> None:
        """Sets what is done in all, and the note behind the bar."""
        self._progress.update(self._task, completed=completed, note=note)
