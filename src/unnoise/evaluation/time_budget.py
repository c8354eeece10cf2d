"""Time budget of an evaluation: how it is shared between samples, features and the rest."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from unnoise.data.batches import Pictures
from unnoise.evaluation.features import Extractor
from unnoise.utils.errors import require

SAMPLES_SHARE = 0.7
"""Share of the time after which no more samples are drawn; the rest is for scores and the variational bound."""

FEATURES_SHARE = 0.2
"""Share of the time that the features of real pictures may take."""

_ROUND_COUNTS = (500, 1_000, 2_000, 5_000, 10_000)
"""Numbers of real pictures to choose from; few, so that the next evaluation finds its features in the cache."""


@dataclass(frozen=True)
class TimeBudget:
    """Minutes that an evaluation may take, counted from when this was made.

    Args:
        minutes: the budget.
        clock: returns seconds.

    Raises:
        UnnoiseError: unless the minutes are above 0.
    """

    minutes: float
    clock: Callable[[], float] = time.monotonic
    started: float = field(init=False)

    def __post_init__(self) -> None:
        require(
            0 < self.minutes < float("inf"),
            f"An evaluation needs more than 0 minutes, but got {self.minutes:g}: try --minutes 5.",
        )
        object.__setattr__(self, "started", self.clock())

    def spent(self) -> float:
        """The share of the time that has passed, from 0; 1 and more mean that it is over."""
        return (self.clock() - self.started) / (60 * self.minutes)


def affordable_pictures(
    extractor: Extractor, images: Pictures, budget: TimeBudget, batch_size: int = 64
) -> int:
    """Number of real pictures whose features there is time for, 500 to 10,000; one batch is timed."""
    if len(images) <= _ROUND_COUNTS[0]:
        return _ROUND_COUNTS[0]
    some = images.take(np.arange(min(batch_size, len(images))))
    extractor(some)  # the first call is slower than later ones
    before = budget.spent()
    extractor(some)
    share = (budget.spent() - before) / len(some)
    affordable = (count for count in _ROUND_COUNTS if count * share <= FEATURES_SHARE)
    return max(affordable, default=_ROUND_COUNTS[0])
