"""Blocks of code that no signal interrupts."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Context in which signals wait, Ctrl-C among them: they are answered at its end.

    For short work in which C++ calls Python, as where PyTorch counts what a network would do: there an
    exception, such as that of Ctrl-C, aborts the process. Only the main thread answers signals: in others
    nothing changes, and nothing does for signals that Python does not answer.
    """
    waiting: list[int] = []
    handlers = {}
    if threading.current_thread() is threading.main_thread():
        found = {number: signal.getsignal(number) for number in signal.valid_signals()}
        handlers = {number: handler for number, handler in found.items() if callable(handler)}
    for number in handlers:
        signal.signal(number, lambda number, _: waiting.append(number))
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        for each in waiting:
            signal.raise_signal(each)
