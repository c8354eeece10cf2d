"""Rhythm of previews: when a run looks at its samples, and how long that may take.

    first    after 20 s, or a twentieth of a shorter run
    then     when the running time has grown by half (20, 30, 45, 68 ... s), or an eighth of the budget passed
    and      every 600 s, where the largest preview is affordable

    sheets   take at most 1.25 % of the time so far, all together, and each has the largest size that fits;
             where even the smallest does not, that one may bring them to 2.75 %. The first may come before
             there was so much time, if eight like it would fit into 2.75 % of the whole run
    tests    the held-out loss and the charts, which come with a sheet: at most 0.75 % of the time
    last     3.75 % of the time for all together, with the last one; or a second, in a run of less than half a
             minute

With the quality of samples (1/80, see `monitoring`) that stays below 5 %. Where even the smallest sheet is too
dear, there are fewer of them, and the first comes later; but the last one is always drawn.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

_FIRST, _FIRST_PART = 20.0, 1 / 20
_GROWTH, _PART, _REGULAR = 1.5, 1 / 8, 600.0
_ANY_SIZE, _SMALLEST, _TESTS, _ALL = 0.0125, 0.0275, 0.0075, 0.0375
_FOR_LAST = 1.0
"""Seconds that the last preview may take in any case. Earlier ones of the smallest size leave them free."""
_ON_CREDIT = 1 / 8
_BEFORE_LAST, _BEFORE_LAST_PART = 300.0, 1 / 20
"""In the last five minutes, or the last twentieth of a shorter run, only the last preview is drawn."""


class Choice(NamedTuple):
    """A preview that is to be drawn now."""

    place: int
    """Of its size among the sizes that there are."""
    complete: bool
    """Whether the held-out loss is measured and the charts are drawn."""


@dataclass
class PreviewRhythm:
    """Chooses when to draw a preview, and which of several sizes.

    Args:
        taken: seconds that all sheets have taken so far.
        tested: seconds that all tests have taken so far.
        last: running time, in seconds, at the last preview; None before the first.
    """

    taken: float = 0.0
    tested: float = 0.0
    last: float | None = None

    def choose(self, costs: Sequence[float], test: float, spent: float, seconds: float) -> Choice | None:
        """The preview that is to be drawn now; None for none.

        Args:
            costs: expected seconds of a sheet of each size, from the smallest to the largest.
            test: expected seconds of a test.
            spent: share of the budget that is spent, from 0 to 1.
            seconds: running time.
        """
        if not 0 < spent < 1 or not self._due(costs[-1], seconds / spent, seconds):
            return None
        place = _largest(costs, _ANY_SIZE * seconds - self.taken)
        if place is None:
            affordable = self.taken + costs[0] <= _SMALLEST * seconds - _FOR_LAST
            on_credit = self.last is None and costs[0] <= _ON_CREDIT * _SMALLEST * seconds / spent
            place = 0 if affordable or on_credit else None
        return None if place is None else Choice(place, self.tested + test <= _TESTS * seconds)

    def choose_last(self, costs: Sequence[float], test: float, seconds: float) -> Choice:
        """The last preview; arguments as in `choose`."""
        room = max(_ALL * seconds - self.taken - self.tested, _FOR_LAST)
        complete = costs[0] + test <= room
        return Choice(_largest(costs, room - test * complete) or 0, complete)

    def record(self, seconds: float, took: float, tested: float) -> None:
        """Notes that a preview was drawn at this running time, and the seconds of its sheet and its test."""
        self.last = seconds
        self.taken += took
        self.tested += tested

    def _due(self, largest: float, length: float, seconds: float) -> bool:
        if length - seconds < min(_BEFORE_LAST, _BEFORE_LAST_PART * length):
            return False
        if self.last is None:
            return seconds >= min(_FIRST, _FIRST_PART * length)
        passed = seconds - self.last
        if passed >= min((_GROWTH - 1) * self.last, _PART * length):
            return True
        return passed >= _REGULAR and largest <= _ANY_SIZE * seconds - self.taken


def _largest(costs: Sequence[float], room: float) -> int | None:
    """The place of the largest size that takes no more seconds than this; None where none does."""
    return max((place for place, cost in enumerate(costs) if cost <= room), default=None)
