"""Whoever asks politely is answered politely: Ctrl-C, and the signals by which clusters take a machine back."""

import os
import signal
from types import FrameType

from unnoise.cli.console import say, stderr

SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGUSR1") if hasattr(signal, name))
"""Ctrl-C, a polite kill, and what SLURM sends before it (sbatch --signal=USR1@60)."""


class Stop:
    """While this context lasts, a signal only sets `asked`, and a second Ctrl-C ends the program at once.

    Args:
        then: what is done at the first one.
        patient: whether there is anything to finish; else the first one ends the context, and that is told.
    """

    def __init__(self, then: str = "Finishing this step and saving", *, patient: bool = True) -> None:
        self.asked = False
        self.then = then
        self.patient = patient

    def __enter__(self) -> "Stop":
        self._before = {number: signal.getsignal(number) for number in SIGNALS}
        for number in SIGNALS:
            signal.signal(number, self._ask)
        return self

    def __exit__(self, _kind: type[BaseException] | None, error: BaseException | None, *_: object) -> bool:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        early = self.asked and not self.patient and _interrupted(error)
        if early:
            say("Stopped before the first step: nothing was trained, and nothing is lost.")
        return early

    def _ask(self, number: int, _frame: FrameType | None) -> None:
        if not self.patient:
            self.asked = True
            raise KeyboardInterrupt
        if self.asked:
            # A cluster asks more than once, and means the same; a person who asks again means now.
            if number == signal.SIGINT:
                _end_now()
            return
        self.asked = True
        again = "; press Ctrl-C again to stop at once" if number == signal.SIGINT else ""
        say(f"{self.then}{again}.")


def _interrupted(error: BaseException | None) -> bool:
    """Whether it is an interruption, or came of one: what is interrupted may fail to tidy up."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__context__
    return error is not None


def _end_now() -> None:
    """Nothing is saved any more, nor need it be: what was saved is whole at every moment."""
    console = stderr()
    console.show_cursor()  # which the progress bar had hidden
    say("Stopped at once: what was saved before stays.")
    os._exit(130)
