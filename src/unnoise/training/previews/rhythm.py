"""Rhythm of previews: when a run looks at its samples, and how long that may take.

    first    after 20 s, or a twentieth of a shorter run
    then     when the running time has grown by half (20, 30, 45, 68 ... s), or an eighth of the budget passed
    and      every 600 s, where the largest preview is affordable

All previews together take at most 2 % of the time at any moment, or 3.5 % where the smallest one is dearer than
that, and 3.75 % with the last one. The first one may be drawn on credit, if the whole run pays for eight of
them. With the quality of samples (1/80, see `monitoring`) that stays below 5 %. Where even the smallest preview
is too dear, there are fewer of them, and the first comes later; but the last one is always drawn. In a run of
less than half a minute the last one has a second, whatever its share.
"""

from collections.abc import Sequence
from dataclasses import dataclass

_FIRST, _FIRST_PART = 20.0, 1 / 20
_GROWTH, _PART, _REGULAR = 1.5, 1 / 8, 600.0
_ANY_SIZE, _SMALLEST, _WITH_LAST = 0.02, 0.035, 0.0375
_FOR_LAST = 1.0
"""Seconds that the last preview has at least, and that smallest ones leave for it."""
_ON_CREDIT = 1 / 8
_BEFORE_LAST, _BEFORE_LAST_PART = 300.0, 1 / 20
"""In the last five minutes, or the last twentieth of a shorter run, only the last preview is drawn."""


@dataclass
class PreviewRhythm:
    """Chooses when to draw a preview, and which of several sizes.

    Args:
        taken: seconds that all previews have taken so far.
        last: running time, in seconds, at the last preview; None before the first.
    """

    taken: float = 0.0
    last: float | None = None

    def choose(self, costs: Sequence[float], spent: float, seconds: float) -> int | None:
        """The place of the size that is to be drawn now; None for no preview.

        Args:
            costs: expected seconds of each size, from the smallest to the largest.
            spent: share of the budget that is spent, from 0 to 1.
            seconds: running time.
        """
        if not 0 < spent < 1 or not self._due(costs[-1], seconds / spent, seconds):
            return None
        largest = _largest(costs, _ANY_SIZE * seconds - self.taken)
        if largest is not None:
            return largest
        affordable = self.taken + costs[0] <= _SMALLEST * seconds - _FOR_LAST
        on_credit = self.last is None and costs[0] <= _ON_CREDIT * _SMALLEST * seconds / spent
        return 0 if affordable or on_credit else None

    def choose_last(self, costs: Sequence[float], seconds: float) -> int:
        """The place of the size of the last preview; arguments as in `choose`."""
        return _largest(costs, max(_WITH_LAST * seconds - self.taken, _FOR_LAST)) or 0

    def record(self, seconds: float, took: float) -> None:
        """Notes that a preview was drawn at this running time, and how many seconds it took."""
        self.last = seconds
        self.taken += took

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
