r"""A loss has risen when it stays far above all that chance explains, and the last good step is the one before.

    loss > m + 6 s   and   log loss > m' + 6 s',   loss > m + |m| / 2,   three reports in a row

where m is the median of the last 20 reports before, s is the spread of the last 100, and m' and s' are those of
their logarithms: small batches have losses whose chance is lopsided. The spread is the standard deviation, told
by the median change from one report to the next: a loss that falls does not enlarge it. A single bad batch is
no fault, and neither is what happens in the first reports.
"""

from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from unnoise.training.guards.faults import Fault

_REMEMBERED = 100
_USUAL = 20
"""Of these, what is usual now; before there are so many, none can be called high."""

_IN_A_ROW = 3
_DEVIATIONS = 6.0
_RISE = 0.5


class _Report(NamedTuple):
    step: int
    loss: float


class LossWatch:
    """Is told the mean losses as they are reported, and says when they have risen."""

    def __init__(self) -> None:
        self._reports: deque[_Report] = deque(maxlen=_REMEMBERED)

    def add(self, step: int, loss: float) -> Fault | None:
        """The mean loss of the steps since the last report, until this one."""
        self._reports.append(_Report(step, loss))
        reports = list(self._reports)
        before, recent = reports[:-_IN_A_ROW], reports[-_IN_A_ROW:]
        if len(before) < _USUAL:
            return None
        usual = [report.loss for report in before]
        lowest = min(report.loss for report in recent)
        if lowest <= _highest(usual):
            return None
        seen = f"The loss rose from about {np.median(usual[-_USUAL:]):.3g} to {lowest:.3g} and stayed there"
        return Fault("loss spike", seen, step=step, good=before[-1].step)


def _highest(losses: Sequence[float]) -> float:
    """That chance explains."""
    values = np.asarray(losses)
    middle, spread = _robust(values)
    highest = middle + max(_DEVIATIONS * spread, _RISE * abs(middle))
    if values.min() > 0:  # those of learned uncertainty may be negative
        middle, spread = _robust(np.log(values))
        highest = max(highest, float(np.exp(min(middle + _DEVIATIONS * spread, 700.0))))
    return highest


def _robust(values: np.ndarray) -> tuple[float, float]:
    middle = float(np.median(values[-_USUAL:]))
    return middle, 1.4826 * float(np.median(np.abs(np.diff(values)))) / 2**0.5
