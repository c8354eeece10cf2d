"""What was measured is a table of rows; a curve is one contender over marks, by one network and one number."""

import math
from collections.abc import Sequence
from itertools import pairwise
from statistics import median
from typing import NamedTuple

from benchmarks.contenders import ENTRIES

OURS, REAL, NOISE = "unnoise", "real", "noise"


class Row(NamedTuple):
    """One contender's pictures after so many minutes of its training, seen by one network."""

    dataset: str
    pictures: int
    side: int
    channels: int
    budget: float
    seed: int
    contender: str
    version: str | None
    minutes: float
    features: str
    judge: str
    fd: float
    fd_low: float
    fd_high: float
    kid: float
    kid_low: float
    kid_high: float
    steps: int
    images: int
    rate: float
    parameters: int
    sampler: str | None
    calls: int
    seconds: float
    samples: int
    measured: str
    machine: str

    @property
    def key(self) -> tuple[object, ...]:
        """What two rows of one measurement share."""
        where = (self.dataset, self.side, self.budget, self.seed)
        return (*where, self.contender, self.minutes, self.features, self.samples)


class Spread(NamedTuple):
    """The median over seeds with the lowest and the highest; of one seed, its 95 % interval over pictures."""

    middle: float
    low: float
    high: float

    @classmethod
    def of(cls, rows: Sequence[Row], measure: str) -> "Spread":
        """Of the same measurement with several seeds."""
        values = [getattr(row, measure) for row in rows]
        if len(rows) == 1:
            return cls(values[0], *(getattr(rows[0], f"{measure}_{end}") for end in ("low", "high")))
        return cls(median(values), min(values), max(values))

    @property
    def text(self) -> str:
        """`12.3 (11.9 to 12.8)`, with three digits or so."""
        digits = sum(abs(self.middle) < limit for limit in (1, 10, 100))
        return f"{self.middle:.{digits}f} ({self.low:.{digits}f} to {self.high:.{digits}f})"


Curve = dict[float, Spread]
"""By the minutes of the marks."""


class Part(NamedTuple):
    """The rows of one data set and budget."""

    rows: Sequence[Row]

    @property
    def names(self) -> list[str]:
        """The contenders that were measured, in our order."""
        return [name for name in ENTRIES if any(row.contender == name for row in self.rows)]

    def seeds(self, name: str) -> list[int]:
        """With which this contender was measured."""
        return sorted({row.seed for row in self.rows if row.contender == name})

    @property
    def features(self) -> list[str]:
        """The networks that judged, the classifier first."""
        return sorted({row.features for row in self.rows})

    @property
    def budget(self) -> float:
        """Minutes of training."""
        return self.rows[0].budget

    @property
    def slug(self) -> str:
        """Its name in files."""
        return self.rows[0].dataset if self.budget == 10 else f"{self.rows[0].dataset}-{self.budget:g}"

    def numbers(self) -> tuple[int, int]:
        """How many pictures count at every mark, and how many at the last."""
        found = [row.samples for row in self.rows]
        return min(found), max(found)

    def curve(self, name: str, features: str, measure: str) -> Curve:
        """One contender's distances at all marks, by equally many pictures."""
        few, _ = self.numbers()
        mine = [row for row in self.rows if (row.contender, row.features, row.samples) == (name, features, few)]
        marks = sorted({row.minutes for row in mine})
        return {mark: Spread.of([row for row in mine if row.minutes == mark], measure) for mark in marks}

    def last(self, name: str, features: str, measure: str) -> Spread | None:
        """By the most pictures, after the last mark."""
        wanted = (name, features, self.numbers()[1], self.budget)
        mine = [row for row in self.rows if (row.contender, row.features, row.samples, row.minutes) == wanted]
        return Spread.of(mine, measure) if mine else None


def parts(rows: Sequence[Row]) -> list[Part]:
    """The rows by data set and budget, in the order in which they came."""
    keys = dict.fromkeys((row.dataset, row.budget) for row in rows)
    return [Part([row for row in rows if (row.dataset, row.budget) == key]) for key in keys]


def merged(old: Sequence[Row], new: Sequence[Row]) -> list[Row]:
    """All rows, the new ones in the place of old ones of the same measurement."""
    return list(({row.key: row for row in old} | {row.key: row for row in new}).values())


def passing(curve: Curve, goal: float) -> tuple[float, float] | None:
    """When a curve first falls below the goal: between marks on a straight line of logarithms, and its mark."""
    marks = list(curve)
    if curve[marks[0]].middle <= goal:
        return marks[0], marks[0]
    for before, after in pairwise(marks):
        left, right = curve[before].middle, curve[after].middle
        if left > goal >= right:
            if right <= 0:  # a kernel distance may be, and has no logarithm then
                return after, after
            share = math.log(left / goal) / math.log(left / right)
            return before * (after / before) ** share, after
    return None
