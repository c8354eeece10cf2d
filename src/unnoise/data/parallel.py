"""Parallel map over threads in order."""

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any, TypeAlias, TypeVar, cast

from unnoise.utils.processors import usable_cores

Item = TypeVar("Item")
Result = TypeVar("Result")

_Outcome: TypeAlias = tuple[Result | None, BaseException | None]
_Task: TypeAlias = tuple[Item, SimpleQueue[_Outcome[Result]]]

_MOST_WORKERS = 16
_QUEUED_PER_WORKER = 4


def map_in_order(function: Callable[[Item], Result], items: Iterable[Item]) -> Generator[Result, None, None]:
    """Yields `function(item)` for each item in order, computed by threads a few items ahead of the caller.

    Threads are enough: Pillow and hashlib release the interpreter's lock. No thread is left once the generator
    is closed or has come to its end.

    Ctrl-C may come at any moment. If it comes after a `threading.Condition` has taken its lock but before the
    block that releases it has begun, the lock stays taken, and the threads that need it wait for ever.
    concurrent.futures is built on such locks. So caller and threads share only `SimpleQueue`s, whose calls are
    never interrupted halfway.
    """
    workers = min(_MOST_WORKERS, usable_cores())
    tasks: SimpleQueue[_Task[Item, Result] | None] = SimpleQueue()
    pending: deque[SimpleQueue[_Outcome[Result]]] = deque()
    threads: list[threading.Thread] = []
    try:
        for item in items:
            if len(threads) < workers:
                threads.append(_started(function, tasks, len(threads)))
            pending.append(SimpleQueue())
            tasks.put((item, pending[-1]))
            if len(pending) >= _QUEUED_PER_WORKER * workers:
                yield _result(pending.popleft())
        while pending:
            yield _result(pending.popleft())
    finally:
        _stop(tasks, workers, threads)


def _started(
    function: Callable[[Item], Result], tasks: "SimpleQueue[_Task[Item, Result] | None]", number: int
) -> threading.Thread:
    """Starts a worker thread. It is a daemon, since nobody joins it if its start is interrupted."""
    name = f"unnoise-data_{number}"
    thread = threading.Thread(target=_work, args=(function, tasks), name=name, daemon=True)
    thread.start()
    return thread


def _work(function: Callable[[Item], Result], tasks: "SimpleQueue[_Task[Item, Result] | None]") -> None:
    """Computes tasks until the task is None."""
    while (task := tasks.get()) is not None:
        item, outcome = task
        try:
            outcome.put((function(item), None))
        except BaseException as error:  # noqa: BLE001 (it is raised again in the caller)
            outcome.put((None, error))
        del task, item, outcome  # a waiting thread keeps nothing in memory


def _result(outcome: "SimpleQueue[_Outcome[Result]]") -> Result:
    result, error = outcome.get()
    if error is not None:
        raise error
    return cast("Result", result)


def _stop(tasks: "SimpleQueue[Any]", workers: int, threads: list[threading.Thread]) -> None:
    """Drops the tasks that were not begun, and waits for those that were."""
    with suppress(Empty):
        while True:
            tasks.get_nowait()
    for _ in range(workers):
        tasks.put(None)
    for thread in threads:
        thread.join()
