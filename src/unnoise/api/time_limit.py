"""Limit on running time, and what of it is left."""

import time
from typing import NamedTuple


class TimeLimit(NamedTuple):
    """A limit on running time: when it began, and how many seconds it may take."""

    started: float
    seconds: float

    def spent(self) -> float:
        """The share of the time that has passed."""
        return (time.monotonic() - self.started) / self.seconds

    def fits(self, seconds: float) -> bool:
        """Whether this many seconds are left."""
        return self.spent() + seconds / self.seconds <= 1
