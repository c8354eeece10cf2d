"""Work is spread over threads, and its results come back in order while memory stays flat."""

import os
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

Item = TypeVar("Item")
Result = TypeVar("Result")

_MOST_WORKERS = 16
_AHEAD = 4


def in_order(function: Callable[[Item], Result], items: Iterable[Item]) -> Generator[Result, None, None]:
    """Yields `function(item)` for each item, in order, a few items ahead of the caller.

    Threads are enough: Pillow and hashlib release the interpreter's lock. Close the generator, or run it to
    its end, and no thread is left.
    """
    workers = min(_MOST_WORKERS, os.cpu_count() or 1)
    pending: deque[Future[Result]] = deque()
    pool = ThreadPoolExecutor(workers, thread_name_prefix="unnoise-data")
    try:
        for item in items:
            pending.append(pool.submit(function, item))
            if len(pending) >= _AHEAD * workers:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


class Room:
    """So much of something scarce may be in use at once, whatever the number of threads; the others wait."""

    def __init__(self, whole: int) -> None:
        self.whole = whole
        self.used = 0
        self._changed = threading.Condition()

    @contextmanager
    def taken(self, amount: int) -> Iterator[None]:
        """Takes this much, or all of it where the amount is larger, and gives it back afterwards."""
        share = min(max(amount, 0), self.whole)
        with self._changed:
            self._changed.wait_for(lambda: self.used + share <= self.whole)
            self.used += share
        try:
            yield
        finally:
            with self._changed:
                self.used -= share
                self._changed.notify_all()


def bar(label: str, total: int, *, show: bool) -> tuple[Progress, Callable[[int], None]]:
    """A progress bar on stderr with the time left, and the function that advances it.

    Use the first as a context manager; where `show` is false, or stderr is no terminal, it prints
    nothing.
    """
    console = Console(stderr=True)
    progress = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not (show and console.is_terminal),
    )
    task = progress.add_task(label, total=total)

    def advance(steps: int) -> None:
        progress.advance(task, steps)

    return progress, advance
