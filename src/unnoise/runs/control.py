"""Requests to a run in training: control.json in its folder, which the trainer reads between two steps.

So any program that may write the folder can stop a run: on another computer that shares it, in another
container, without its process number, and where there are no signals.
"""

import json
import os
import time
from contextlib import suppress
from pathlib import Path

from unnoise.runs.lock import Start, began
from unnoise.utils.files import atomic_write

CONTROL = "control.json"

_EVERY = 0.25
"""Seconds between two looks at the file."""


def request_stop(run: Path) -> None:
    """Asks the trainer of a run to finish its step, save and end, as Ctrl-C does.

    Raises:
        WriteError: when the folder cannot be written.
    """
    with atomic_write(run / CONTROL) as file:
        file.write_text(json.dumps({"stop": True, "time": time.time()}) + "\n", encoding="utf-8")


def stop_is_requested(run: Path, since: float = 0.0) -> bool:
    """Whether somebody asked for the run to stop, later than `since` (seconds since 1970).

    Also false for a file that cannot be read.
    """
    try:
        asked = json.loads((run / CONTROL).read_text(encoding="utf-8"))
        return bool(asked["stop"]) and float(asked["time"]) >= since
    except (OSError, ValueError, KeyError, TypeError):
        return False


def forget_requests(run: Path) -> None:
    """Removes what was asked for: it is done."""
    with suppress(OSError):
        (run / CONTROL).unlink(missing_ok=True)


class StopRequests:
    """What was asked of a run since this process started, so that an old request stops no new training.

    Args:
        run: the folder of the run.
    """

    def __init__(self, run: Path) -> None:
        self._run, self._start = run, Start.of(os.getpid())
        self._looked, self._received = 0.0, False

    @property
    def received(self) -> bool:
        """Whether to stop; it looks at the file four times a second at most."""
        now = time.monotonic()
        if not self._received and now - self._looked >= _EVERY:
            since = began(os.getpid(), self._start)
            self._looked, self._received = now, stop_is_requested(self._run, since)
        return self._received
