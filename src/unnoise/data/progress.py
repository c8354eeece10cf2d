"""Progress of reading pictures: a bar in a terminal, or one of the caller's own."""

from collections.abc import Callable
from typing import Protocol, TypeAlias, runtime_checkable

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress


@runtime_checkable
class Bar(Protocol):
    """Progress of one task; a context."""

    def __enter__(self) -> object:
        """Shows it."""

    def __exit__(self, *_: object) -> None:
        """Ends it."""

    def advance(self, amount: float) -> None:
        """Adds to what is done."""


Progress: TypeAlias = bool | Callable[[str, float], Bar]
"""Whether a bar is shown in a terminal; or a function of a task and its total that returns a bar."""


def progress_bar(label: str, total: int, show: Progress) -> Bar:
    """The bar of a task. Where `show` is false, or true and stderr is no terminal, it prints nothing."""
    return TerminalBar(label, total, show=show) if isinstance(show, bool) else show(label, total)


class TerminalBar:
    """A bar on stderr with the time left, which is gone once the task is done."""

    def __init__(self, label: str, total: int, *, show: bool) -> None:
        console = Console(stderr=True)
        self._progress = RichProgress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not (show and console.is_terminal),
        )
        self._task = self._progress.add_task(label, total=total)

    def __enter__(self) -> "TerminalBar":
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def advance(self, amount: float) -> None:
        """Adds to what is done."""
        self._progress.advance(self._task, amount)
