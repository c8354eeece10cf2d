"""Range of values: which number of a deep grey, float or integer picture is black, and which is white.

Bytes need no range: 0 is black and 255 white. Every other kind of number has one range for a whole source.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from unnoise.utils.errors import UnnoiseError, require

ANY = "any"
"""Stands for every kind of number, in a range that was chosen."""
_BITS = 21
"""Bits of a float32 that a histogram tells apart: the sign, 8 of the exponent and 12 of the fraction."""
_UNSIGNED_TOPS = (1, 2**8 - 1, 2**10 - 1, 2**12 - 1, 2**14 - 1, 2**16 - 1, 2**24 - 1, 2**32 - 1)
_SIGNED_TOPS = (1, 2**8 - 1, 2**10 - 1, 2**12 - 1, 2**15 - 1, 2**16 - 1, 2**24 - 1, 2**31 - 1)
_BYTE_TOPS = (1, 2**7 - 1)
_FLOAT_TOPS = (1, 2**8 - 1, 2**10 - 1, 2**12 - 1, 2**14 - 1, 2**16 - 1)
_DEEPEST = 2**16 - 1
"""The greatest value of usual integers: beyond, a range has to be filled to be believed."""
_OUTLIERS = 0.001
"""The part of all values that may lie below, and above, a range found by percentiles."""


@dataclass(frozen=True)
class ValueRange:
    """The values that are black (`low`) and white (`high`), for one kind of number: `float`, `uint16`, ..."""

    kind: str
    low: float
    high: float

    def __post_init__(self) -> None:
        require(
            bool(np.isfinite([self.low, self.high]).all()) and self.low < self.high,
            f"A range of values goes from a lower to a higher number, but got {self.low:g} to {self.high:g}. "
            f"Try 0 4095.",
        )

    def text(self) -> str:
        """In words: `0 to 4095 (uint16)`."""
        return f"{_number(self.low)} to {_number(self.high)} ({self.kind})"


Ranges: TypeAlias = tuple[ValueRange, ...]
RangeChoice: TypeAlias = Ranges | Literal["percentiles"] | None
"""The ranges, `percentiles` to find them by the 0.1st and 99.9th percentile, or None to find full ranges."""


class UnknownRangeError(Exception):
    """Values are of a kind whose range has not been found yet."""


def kind_of(values: "NDArray[Any]") -> str:
    """The kind of number of an array: `float` for all floats, else the name of its dtype."""
    return "float" if values.dtype.kind == "f" else values.dtype.name


def range_for(kind: str, ranges: RangeChoice) -> ValueRange:
    """The range for this kind of number; raises UnknownRangeError if it is not known."""
    for one in ranges if isinstance(ranges, tuple) else ():
        if one.kind == kind:
            return one
    raise UnknownRangeError(kind)


def known_ranges(ranges: "Ranges | tuple[float, float]") -> Ranges:
    """Ranges, or the two ends of one range for every kind of number, as ranges."""
    known = tuple(one for one in ranges if isinstance(one, ValueRange))
    if len(known) == len(ranges):
        return known
    low, high = (float(one) for one in ranges if not isinstance(one, ValueRange))
    return (ValueRange(ANY, low, high),)


def has_range(kind: str, ranges: RangeChoice) -> bool:
    """Whether there is a range for just this kind of number."""
    return isinstance(ranges, tuple) and any(one.kind == kind for one in ranges)


def to_8_bits(values: "NDArray[Any]", ranges: RangeChoice) -> NDArray[np.uint8]:
    """Maps a range of values to 0 to 255, and cuts off what lies outside; what is no number becomes black.

    Bytes stay as they are, unless they have a range.

    Raises:
        UnknownRangeError: if the range of this kind of number is not known.
    """
    if values.dtype == np.uint8 and not has_range("uint8", ranges):
        return values
    wanted = range_for(kind_of(values), ranges)
    finite = np.nan_to_num(values, nan=wanted.low) if values.dtype.kind == "f" else values
    scaled: NDArray[np.floating] = finite.astype(np.float64)
    scaled -= wanted.low
    scaled *= 255 / (wanted.high - wanted.low)
    pixels: NDArray[np.uint8] = np.rint(np.clip(scaled, 0, 255)).astype(np.uint8)
    return pixels


@dataclass
class ValueStatistics:
    """Extremes and a histogram of all values of one kind, added up array by array."""

    kind: str
    low: float = float("inf")
    high: float = float("-inf")
    _places: dict[int, int] = field(default_factory=dict)

    def add(self, values: "NDArray[Any]") -> None:
        """Adds the values of one array; those that are not finite do not count."""
        flat = values.ravel()
        if values.dtype.kind == "f":
            flat = flat[np.isfinite(flat)]
        if not flat.size:
            return
        self.low, self.high = min(self.low, float(flat.min())), max(self.high, float(flat.max()))
        places, counts = np.unique(_places_of(flat), return_counts=True)
        for place, count in zip(places.tolist(), counts.tolist(), strict=True):
            self._places[place] = self._places.get(place, 0) + count

    def merge(self, other: "ValueStatistics") -> None:
        """Adds what another has counted."""
        self.low, self.high = min(self.low, other.low), max(self.high, other.high)
        for place, count in other._places.items():
            self._places[place] = self._places.get(place, 0) + count

    def quantile(self, part: float) -> float:
        """The value that this part of all values lies below, to within one part in 4,000."""
        places = sorted(self._places)
        counts = np.cumsum([self._places[place] for place in places])
        place = places[int(np.searchsorted(counts, part * counts[-1]))]
        return float(np.clip(_value_at(place), self.low, self.high))

    def found(self, choice: RangeChoice) -> ValueRange:
        """The range of these values.

        The full range is the first of 1, 255, 1023, 4095, ... that holds them. Floats may overshoot it, as they
        do after sharpening or bicubic resizing: 99 % lie inside, and none above twice its end. Floats from -1
        to 1 keep that range. Other negative values, and values that fill less than an eighth of their range,
        are taken by percentiles.
        """
        if not self._places:
            return ValueRange(self.kind, 0, 1)
        if choice == "percentiles":
            return self._percentiles()
        return self._full_range() or self._percentiles()

    def _full_range(self) -> ValueRange | None:
        if self.kind != "float":
            signed = _BYTE_TOPS if self.kind == "int8" else _SIGNED_TOPS
            tops: tuple[int, ...] = _UNSIGNED_TOPS if self.kind.startswith("u") else signed
            top = next((top for top in tops if self.high <= top), None) if self.low >= 0 else None
            if top is None or (top > _DEEPEST and self.high < top / 8):
                return None
            return ValueRange(self.kind, 0, top)
        least, most = self.quantile(0.01), self.quantile(0.99)
        top = next((top for top in _FLOAT_TOPS if most <= 1.02 * top and self.high <= 2 * top), None)
        if top is None or (top > 1 and self.high < top / 8):
            return None
        if least >= -0.05 * top and self.low >= -top:
            return ValueRange(self.kind, 0, top)
        return ValueRange(self.kind, -1, 1) if top == 1 and least >= -1.02 and self.low >= -2 else None

    def _percentiles(self) -> ValueRange:
        low, high = self.quantile(_OUTLIERS), self.quantile(1 - _OUTLIERS)
        if low >= high:  # almost all values are equal
            low, high = self.low, max(self.high, self.low + 1)
        return ValueRange(self.kind, _rounded(low), _rounded(high))


def measured(values: "NDArray[Any]") -> ValueStatistics:
    """The statistics of one array."""
    statistics = ValueStatistics(kind_of(values))
    statistics.add(values)
    return statistics


def merged(many: Iterable[ValueStatistics | None]) -> dict[str, ValueStatistics]:
    """The statistics of many arrays together, by kind of number."""
    together: dict[str, ValueStatistics] = {}
    for one in many:
        if one is not None:
            together.setdefault(one.kind, ValueStatistics(one.kind)).merge(one)
    return together


def with_found(choice: RangeChoice, statistics: dict[str, ValueStatistics]) -> Ranges:
    """The known ranges, and those found for other kinds of numbers."""
    given = choice if isinstance(choice, tuple) else ()
    chosen = next((one for one in given if one.kind == ANY), None)
    known = tuple(one for one in given if one.kind != ANY)
    kinds = {one.kind for one in known}
    found = [
        replace(chosen, kind=kind) if chosen else each.found(choice)
        for kind, each in sorted(statistics.items())
        if kind not in kinds
    ]
    return (*known, *found)


def ranges_text(ranges: Ranges) -> str:
    """A sentence that names the ranges; empty if there are none."""
    if not ranges:
        return ""
    return (
        f"Values are read from black to white: {', '.join(one.text() for one in ranges)}. --range LOW HIGH "
        f"sets another range."
    )


def parse_range(words: tuple[str, ...]) -> RangeChoice:
    """`("0", "4095")` to a range, `("percentiles",)` to the same word, and nothing to None.

    Raises:
        UnnoiseError: for anything else.
    """
    if not words:
        return None
    if words == ("percentiles",):
        return "percentiles"
    try:
        low, high = (float(word) for word in words)
    except ValueError:
        raise UnnoiseError(
            f"--range takes two numbers, black and white, or the word percentiles, but got {' '.join(words)}. "
            f"Try --range 0 4095."
        ) from None
    return (ValueRange(ANY, low, high),)


def _places_of(values: "NDArray[Any]") -> NDArray[np.int64]:
    """Integers that are ordered like the values: the upper bits of their float32."""
    limit = np.finfo(np.float32).max
    bits = np.clip(values.astype(np.float64), -limit, limit).astype(np.float32).view(np.int32)
    ordered = np.where(bits < 0, np.int64(-(2**31)) - bits, bits).astype(np.int64)
    return ordered >> (32 - _BITS)


def _value_at(place: int) -> float:
    ordered = (place << (32 - _BITS)) + (1 << (31 - _BITS))
    bits = ordered if ordered >= 0 else -(2**31) - ordered
    return float(np.array([bits], np.int64).astype(np.int32).view(np.float32)[0])


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")


def _number(value: float) -> str:
    return f"{value:.0f}" if value == int(value) else f"{value:g}"
