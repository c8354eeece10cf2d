"""Minutes are spent as they come: first on samples, since every score needs them, then on the rest."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from unnoise.data.batches import Pictures
from unnoise.evaluation.features import Extractor
from unnoise.utils.errors import require

FOR_SAMPLES = 0.7
"""Samples are drawn until this share of the minutes is spent; scores and the bound take what is left."""


@dataclass(frozen=True)
class Stopwatch:
    """Tells which share of some minutes is spent, from when it was made.

    Args:
        minutes: how many there are.
        clock: seconds since any moment.

    Raises:
        UnnoiseError: unless the minutes are above 0.
    """

    minutes: float
    clock: Callable[[], float] = time.monotonic
    started: float = field(init=False)

    def __post_init__(self) -> None:
        require(
            0 < self.minutes < float("inf"),
            f"An evaluation lasts for more than 0 minutes, but got {self.minutes:g}: try --minutes 5.",
        )
        object.__setattr__(self, "started", self.clock())

    def spent(self) -> float:
        """From 0; 1 and above mean that the minutes are over."""
        return (self.clock() - self.started) / (60 * self.minutes)


FOR_REAL_PICTURES = 0.2
"""At most this share of the minutes goes into features of real pictures."""

_ROUND = (500, 1_000, 2_000, 5_000, 10_000)
"""Steps of how many, so that the next evaluation finds the same features in the cache."""


def affordable(extractor: Extractor, images: Pictures, watch: Stopwatch, batch_size: int = 64) -> int:
    """How many real pictures of a kind there is time for, 500 to 10,000: measured on one batch."""
    if len(images) <= _ROUND[0]:
        return _ROUND[0]
    some = images.take(np.arange(min(batch_size, len(images))))
    extractor(some)  # the first call is slower than those after it
    before = watch.spent()
    extractor(some)
    share = (watch.spent() - before) / len(some)
    return max((count for count in _ROUND if count * share <= FOR_REAL_PICTURES), default=_ROUND[0])
