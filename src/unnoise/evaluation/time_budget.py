"""Time budget of an evaluation: how it is shared between samples, features and the rest."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from unnoise.data.batches import Pictures
from unnoise.evaluation.features import Extractor
from unnoise.utils.errors import require

SAMPLES_SHARE = 0.7
"""Share of the time after which no more samples are drawn; the rest is for scores and the variational bound."""

SCORES_SHARE = 0.85
"""Share of the time after which no further score is begun."""

COPIES_SHARE = 0.95
"""Share of the time that is over once copies of training pictures have been looked for."""

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

    def seconds_left(self, share: float = 1.0) -> float:
        """Seconds until this share of the time has passed; 0 when it has."""
        return max(0.0, 60 * self.minutes * (share - self.spent()))


class Pace:
    """The time that a picture takes, measured again with each batch, so that a busy machine takes fewer.

    Args:
        clock: returns seconds.
        seconds: a guess of the time of a picture, before any was measured; None to begin with `first` pictures.
        first: number of pictures of the first batch where there is no guess.
    """

    def __init__(self, clock: Callable[[], float], seconds: float | None = None, first: int = 1) -> None:
        self.seconds = seconds
        self._clock, self._first, self._number, self._started = clock, first, 0, 0.0

    def next_batch(self, seconds_left: float, most: int) -> int:
        """Number of pictures to take next, at most `most`; 0 where not even one fits.

        The time since the last call counts as the time of the batch that was then returned. A batch takes
        half of the time that is left, so that it still fits when the machine becomes half as fast meanwhile.
        """
        now = self._clock()
        if self._number:
            self.seconds = (now - self._started) / self._number
        if self.seconds is None:
            fitting = number = self._first
        else:
            fitting = int(min(seconds_left / max(self.seconds, 1e-9), 2.0 * most))
            number = max(1, fitting // 2)
        self._started, self._number = now, min(number, most) if fitting else 0
        return self._number


def affordable_pictures(
    extractor: Extractor,
    images: Pictures,
    budget: TimeBudget,
    batch_size: int = 64,
    parts: Sequence[int] | None = None,
) -> int:
    """Number of real pictures of each part whose features there is time for, 500 to 10,000; one batch is timed.

    `parts` are the numbers of pictures of which so many are taken each, by default all pictures at once.
    """
    if len(images) <= _ROUND_COUNTS[0]:
        return _ROUND_COUNTS[0]
    some = images.take(np.arange(min(batch_size, len(images))))
    extractor(some)  # the first call is slower than later ones
    before = budget.spent()
    extractor(some)
    share = (budget.spent() - before) / len(some)
    sizes = [len(images)] if parts is None else parts
    taken = {count: sum(min(count, size) for size in sizes) for count in _ROUND_COUNTS}
    affordable = (count for count in _ROUND_COUNTS if taken[count] * share <= FEATURES_SHARE)
    return max(affordable, default=_ROUND_COUNTS[0])
