r"""Loss spikes: a loss that rises and stays far above what chance explains.

    loss > m + 6 s   and   log loss > m' + 6 s',   loss > m + |m| / 2,   three reports in a row

m is the median of the last 20 reports before, s the spread of the last 100; m' and s' are those of the
logarithms, for the losses of small batches have a lopsided distribution. The spread is the standard deviation,
estimated from the median change between reports, so that a falling loss does not enlarge it. A single bad batch
is not a fault, nor is anything in the first reports.
"""

from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from unnoise.trainer.guards.faults import Fault

REMEMBERED = 100
"""Reports for the spread."""

USUAL = 20
"""Reports for the median; with fewer before, no loss counts as high."""

IN_A_ROW = 3
_DEVIATIONS = 6.0
_RISE = 0.5


class _Report(NamedTuple):
    step: int
    loss: float


class LossSpikes:
    """Detector of loss spikes: gets the mean losses as they are reported."""

    def __init__(self) -> None:
        self._reports: deque[_Report] = deque(maxlen=REMEMBERED)

    @property
    def trusted_step(self) -> int | None:
        """The last step before the next fault, whatever is reported next; None where none can be found yet."""
        if len(self._reports) < USUAL + IN_A_ROW - 1:
            return None
        return self._reports[-IN_A_ROW].step

    def add(self, step: int, loss: float) -> Fault | None:
        """Adds the mean loss of the steps since the last report; returns a fault where it rose and stayed."""
        self._reports.append(_Report(step, loss))
        reports = list(self._reports)
        before, recent = reports[:-IN_A_ROW], reports[-IN_A_ROW:]
        if len(before) < USUAL:
            return None
        usual = [report.loss for report in before]
        lowest = min(report.loss for report in recent)
        if lowest <= _highest_by_chance(usual):
            return None
        cause = f"The loss rose from about {np.median(usual[-USUAL:]):.3g} to {lowest:.3g} and stayed there"
        return Fault("loss spike", cause, step=step, last_good_step=before[-1].step)


def _highest_by_chance(losses: Sequence[float]) -> float:
    """The highest loss that chance explains."""
    values = np.asarray(losses)
    middle, spread = _median_and_spread(values)
    highest = middle + max(_DEVIATIONS * spread, _RISE * abs(middle))
    if values.min() > 0:  # those of learned uncertainty may be negative
        middle, spread = _median_and_spread(np.log(values))
        highest = max(highest, float(np.exp(min(middle + _DEVIATIONS * spread, 700.0))))
    return highest


def _median_and_spread(values: np.ndarray) -> tuple[float, float]:
    middle = float(np.median(values[-USUAL:]))
    return middle, 1.4826 * float(np.median(np.abs(np.diff(values)))) / 2**0.5
