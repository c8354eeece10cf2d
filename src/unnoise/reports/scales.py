r"""An axis is a map from numbers to pixels, and ticks stand where numbers are round.

place = start + (end - start) (f(value) - f(low)) / (f(high) - f(low)),   f = log or identity
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from unnoise.utils.errors import require

_LOGARITHMIC = 10.0
"""Positive numbers that differ by more than this factor are read on a logarithmic axis."""


@dataclass(frozen=True)
class Scale:
    """Numbers from `low` to `high` on an axis from `start` to `end` in pixels, either way round."""

    low: float
    high: float
    start: float
    end: float
    logarithmic: bool = False

    def __post_init__(self) -> None:
        require(
            self.low < self.high and math.isfinite(self.high - self.low),
            f"An axis goes from a lower to a higher number, but got {self.low} to {self.high}.",
        )
        require(
            not self.logarithmic or self.low > 0,
            f"A logarithmic axis begins above 0, but got {self.low}: take a linear one.",
        )

    def place(self, value: float) -> float:
        """Where on the axis this number stands, in pixels."""
        low, high, here = self.low, self.high, value
        if self.logarithmic:
            low, high, here = math.log(low), math.log(high), math.log(value)
        return self.start + (self.end - self.start) * (here - low) / (high - low)

    def ticks(self, most: int) -> list[float]:
        """Round numbers inside, about `most` at the most: 1, 2 or 5 times a power of ten."""
        decades = _decades(self.low, self.high, most) if self.logarithmic else []
        return decades if len(decades) >= 2 else _rounded(self.low, self.high, most)


def _rounded(low: float, high: float, most: int) -> list[float]:
    wanted = (high - low) / max(most, 1)
    power = 10.0 ** math.floor(math.log10(wanted))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= wanted * (1 - 1e-9))
    digits = max(0, 1 - math.floor(math.log10(step)))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(place * step, digits) for place in range(first, last + 1)]


def _decades(low: float, high: float, most: int) -> list[float]:
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks: list[float] = []
    for factors in ((1, 2, 5), (1, 3), (1,)):
        ticks = [factor * 10.0**power for power in powers for factor in factors]
        ticks = [tick for tick in ticks if low * (1 - 1e-9) <= tick <= high * (1 + 1e-9)]
        if len(ticks) <= most + 1:
            return ticks
    return ticks[:: math.ceil(len(ticks) / most)]


def fitted(values: Sequence[float], start: float, end: float, margin: float = 0.0, log: bool = False) -> Scale:
    """The scale that holds these numbers, with a margin at each end as a part of its length.

    With `log` it is logarithmic, where the numbers are positive and differ by more than ten times.
    """
    low, high = min(values), max(values)
    logarithmic = log and low > 0 and high > _LOGARITHMIC * low
    if low == high:  # a single number stands in the middle
        room = 0.5 * abs(low) or 1.0
        low, high = low - room, high + room
    if logarithmic:
        room = (high / low) ** margin
        return Scale(low / room, high * room, start, end, logarithmic=True)
    room = margin * (high - low)
    return Scale(low - room, high + room, start, end)
