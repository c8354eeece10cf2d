"""The first Ctrl-C asks politely; the second one means it."""

import signal
from types import FrameType

from unnoise.cli.console import say


class Stop:
    """While this context lasts, the first interrupt only sets `asked`, and the next one interrupts.

    Args:
        then: what is done at the first one.
    """

    def __init__(self, then: str = "Finishing this step and saving") -> None:
        self.asked = False
        self.then = then

    def __enter__(self) -> "Stop":
        self._before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        for number in self._before:
            signal.signal(number, self._ask)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _ask(self, _number: int, _frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
        say(f"{self.then}; press Ctrl-C again to stop at once.")
