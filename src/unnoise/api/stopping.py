"""Stopping on Ctrl-C, and on the signals by which clusters take a machine back."""

import os
import signal
import threading
from types import FrameType

from unnoise.api.reporting import speaks_for_all, tell
from unnoise.api.terminal import error_console
from unnoise.utils.errors import interrupted

_NAMES = ("SIGINT", "SIGTERM", "SIGUSR1", "SIGHUP")
SIGNALS = tuple(getattr(signal, name) for name in _NAMES if hasattr(signal, name))
"""Ctrl-C, a plain kill, what SLURM sends before it (sbatch --signal=USR1@60), and the end of the terminal."""


class StopSignals:
    """A context in which the first stop signal sets `received`, and a second Ctrl-C ends the program at once.

    In other threads than the main one, which get no signals, it answers none. Of several processes that a
    launcher started, all of which get the signal, only the first says so.

    Args:
        message: printed at the first signal.
        graceful: whether the caller looks at `received` and stops by itself. If not, the first signal ends the
            context, and a message says so.
    """

    def __init__(self, message: str = "Finishing this step and saving", *, graceful: bool = True) -> None:
        self.received = False
        self.message = message
        self.graceful = graceful

    def __enter__(self) -> "StopSignals":
        answered = [number for number in SIGNALS if not _ignored_by_nohup(number)] if _in_main_thread() else []
        self._before = {number: signal.getsignal(number) for number in answered}
        for number in self._before:
            signal.signal(number, self._handle)
        return self

    def __exit__(self, _kind: type[BaseException] | None, error: BaseException | None, *_: object) -> bool:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        early = self.received and not self.graceful and interrupted(error)
        if early:
            _tell_once("Stopped before the first step: nothing was trained, and nothing is lost.")
        return early

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        if not self.graceful:
            self.received = True
            raise KeyboardInterrupt
        if self.received:
            # A cluster sends its signal more than once without meaning more; a second Ctrl-C means now.
            if number == signal.SIGINT:
                _end_now()
            return
        self.received = True
        again = "; press Ctrl-C again to stop at once" if number == signal.SIGINT else ""
        _tell_once(f"{self.message}{again}.")


def _tell_once(sentence: str) -> None:
    if speaks_for_all():
        tell(sentence)


def _in_main_thread() -> bool:
    """Whether signals arrive here: Python has them answered by the main thread alone."""
    return threading.current_thread() is threading.main_thread()


def _ignored_by_nohup(number: int) -> bool:
    return number == getattr(signal, "SIGHUP", None) and signal.getsignal(number) is signal.SIG_IGN


def _end_now() -> None:
    """Ends the program without saving; files saved before are whole at every moment."""
    error_console().show_cursor()  # the progress bar had hidden it
    _tell_once("Stopped at once; what was saved before is kept.")
    os._exit(130)
