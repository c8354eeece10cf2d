"""Messages and progress in scripts and notebooks: printed, or a bar with the newest sheet of samples."""

import html
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unnoise.api.reporting import Reporter
from unnoise.api.terminal import TerminalReporter

if TYPE_CHECKING:
    from unnoise.api.reporting import Part
    from unnoise.data.progress import Progress as ReadingProgress

_SECONDS = 0.3
"""Between two updates of a bar."""


def python_reporter() -> Reporter:
    """The reporter of a script, or of a notebook where one calls."""
    return NotebookReporter() if in_notebook() else TerminalReporter()


def in_notebook() -> bool:
    """Whether a notebook's kernel runs this: IPython is there, and its shell can show pictures."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return shell is not None and hasattr(shell, "kernel")


class NotebookReporter:
    """Shows messages as lines, and progress as a bar that moves, with the newest picture below it."""

    moving = True

    def __init__(self) -> None:
        self._bar: NotebookBar | None = None
        # Of a library that would draw bars of its own.
        warnings.filterwarnings("ignore", message="IProgress not found")

    @property
    def reading(self) -> "ReadingProgress":
        """With the same bars."""
        return self.bar

    def message(self, text: "Part") -> None:
        """Prints a sentence."""
        print(text, flush=True)

    def output(self, *parts: "Part") -> None:
        """Nothing: functions return what was asked for, and that shows itself."""

    def result(self, what: str, path: Path) -> None:
        """Nothing: functions return it."""

    def picture(self, path: Path) -> None:
        """Shows it below the bar."""
        if self._bar is not None:
            self._bar.show(path)

    def bar(self, task: str, total: float) -> "NotebookBar":
        """A bar of its own."""
        self._bar = NotebookBar(task, total)
        return self._bar


class NotebookBar:
    """A bar, a note and a picture, which are shown once and then updated.

    Args:
        task: what is being done.
        total: how much there is to do.
        clock: seconds.
    """

    def __init__(self, task: str, total: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._task, self._total, self._clock = task, total, clock
        self._done, self._note, self._started, self._shown = 0.0, "", clock(), 0.0
        self._handles: list[Any] = []

    def __enter__(self) -> "NotebookBar":
        from IPython.display import HTML, display

        self._started = self._clock()
        self._handles.append(display(HTML(self._text()), display_id=True))
        return self

    def __exit__(self, *error: object) -> None:
        from IPython.display import HTML

        if not any(error) and len(self._handles) == 1:
            self._handles[0].update(HTML(""))  # what was waited for comes next
        else:
            self._refresh()

    def advance(self, amount: float) -> None:
        """Adds to what is done."""
        self.update(self._done + amount, self._note)

    def update(self, completed: float, note: str) -> None:
        """Sets what is done in all, and the note behind the bar."""
        self._done, self._note = completed, note
        if self._clock() - self._shown >= _SECONDS:
            self._refresh()

    def show(self, path: Path) -> None:
        """Shows a picture below the bar, in place of the last."""
        from IPython.display import Image, display

        picture = Image(data=path.read_bytes())
        if len(self._handles) == 1:
            self._handles.append(display(picture, display_id=True))
        else:
            self._handles[1].update(picture)

    def _refresh(self) -> None:
        from IPython.display import HTML

        self._shown = self._clock()
        self._handles[0].update(HTML(self._text()))

    def _text(self) -> str:
        part = min(1.0, self._done / self._total) if self._total else 1.0
        spent = self._clock() - self._started
        left = f", {_duration(spent / part - spent)} left" if 0 < part < 1 else ""
        words = html.escape(f"{self._task} {part:.0%}{left}{', ' if self._note else ''}{self._note}")
        return f'<progress value="{part:.4f}" max="1" style="width: 16em"></progress> {words}'


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
