"""Rows of `time_to_quality`, one for each contender, mark and judge, and their spreads over seeds."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise
from statistics import median
from typing import NamedTuple

from benchmarks.contenders import ENTRIES

OURS, REAL, NOISE = "unnoise", "real", "noise"

TITLES: Mapping[str, str] = {name: entry.title for name, entry in ENTRIES.items()} | {
    REAL: "real pictures",
    NOISE: "noise",
}


def folder_name(dataset: str, side: int, minutes: float) -> str:
    """Name of the folder of a data set's weights and samples."""
    return f"{dataset}-{side}-{minutes:g}"


class Row(NamedTuple):
    """Distances of one contender's samples after some minutes of training, by one judge."""

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
        """Identifies the measurement: a newer row with this key replaces an older one."""
        where = (self.dataset, self.side, self.budget, self.seed)
        return (*where, self.contender, self.minutes, self.features, self.samples)


class Spread(NamedTuple):
    """Median, lowest and highest over seeds; of one seed, its value and 95 % interval over pictures."""

    middle: float
    low: float
    high: float

    @classmethod
    def of(cls, rows: Sequence[Row], measure: str) -> "Spread":
        """The spread of a measure over rows of several seeds."""
        values = [getattr(row, measure) for row in rows]
        if len(rows) == 1:
            return cls(values[0], *(getattr(rows[0], f"{measure}_{end}") for end in ("low", "high")))
        return cls(median(values), min(values), max(values))

    @property
    def text(self) -> str:
        """`12.3 (11.9 to 12.8)`, with about three digits."""
        digits = sum(abs(self.middle) < limit for limit in (1, 10, 100))
        return f"{self.middle:.{digits}f} ({self.low:.{digits}f} to {self.high:.{digits}f})"


Curve = dict[float, Spread]
"""Distances by minutes of training."""


class Comparison(NamedTuple):
    """The rows of one data set, side of the pictures and budget."""

    rows: Sequence[Row]

    @property
    def names(self) -> list[str]:
        """The contenders that were measured, in the order of the tables."""
        return [name for name in ENTRIES if any(row.contender == name for row in self.rows)]

    def seeds(self, name: str) -> list[int]:
        """Seeds of a contender."""
        return sorted({row.seed for row in self.rows if row.contender == name})

    @property
    def features(self) -> list[str]:
        """Names of the judges' features, the classifier first."""
        return sorted({row.features for row in self.rows})

    @property
    def budget(self) -> float:
        """Minutes of training."""
        return self.rows[0].budget

    @property
    def slug(self) -> str:
        """Its name in file names and markers."""
        first = self.rows[0]
        side = "" if first.side <= 32 else f"-{first.side}px"
        minutes = "" if self.budget == 10 else f"-{self.budget:g}"
        return f"{first.dataset}{side}{minutes}"

    def numbers(self) -> tuple[int, int]:
        """Number of samples at every mark, and after the last one: the most that two contenders share."""
        found = {row.samples for row in self.rows}
        have = {(row.contender, row.samples) for row in self.rows if row.contender in self.names}
        counts = Counter(samples for _, samples in have)
        shared = [samples for samples in found if counts[samples] > 1]
        return min(found), max(shared or found)

    def curve(self, name: str, features: str, measure: str) -> Curve:
        """One contender's distances at all marks, from equally many samples."""
        few, _ = self.numbers()
        mine = [row for row in self.rows if (row.contender, row.features, row.samples) == (name, features, few)]
        marks = sorted({row.minutes for row in mine})
        return {mark: Spread.of([row for row in mine if row.minutes == mark], measure) for mark in marks}

    def last(self, name: str, features: str, measure: str) -> Spread | None:
        """Distance after the last mark, from the most samples."""
        wanted = (name, features, self.numbers()[1], self.budget)
        mine = [row for row in self.rows if (row.contender, row.features, row.samples, row.minutes) == wanted]
        return Spread.of(mine, measure) if mine else None


def comparisons(rows: Sequence[Row]) -> list[Comparison]:
    """The rows by data set, side of the pictures and budget, in the order in which they came."""
    found: dict[tuple[str, int, float], list[Row]] = {}
    for row in rows:
        found.setdefault((row.dataset, row.side, row.budget), []).append(row)
    return [Comparison(those) for those in found.values()]


def merged(old: Sequence[Row], new: Sequence[Row]) -> list[Row]:
    """All rows; a new row replaces the old one of the same measurement."""
    return list(({row.key: row for row in old} | {row.key: row for row in new}).values())


def minutes_to_reach(curve: Curve, goal: float) -> float | None:
    """Minutes until a curve first falls to the goal, interpolated in logarithms; None if it never does."""
    marks = list(curve)
    if curve[marks[0]].middle <= goal:
        return marks[0]
    for before, after in pairwise(marks):
        left, right = curve[before].middle, curve[after].middle
        if left > goal >= right:
            if right <= 0:  # a kernel distance can be negative, and has no logarithm then
                return after
            share = math.log(left / goal) / math.log(left / right)
            return float(before * (after / before) ** share)
    return None
