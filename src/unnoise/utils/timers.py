"""Timers that decide when recurring work is due during a long run."""

from dataclasses import dataclass


@dataclass
class BudgetTimer:
    """Timer that is due after each tenth of the budget, within a shortest and a longest number of seconds.

    Args:
        spent: share of the budget that was spent when it last was due.
        seconds: running time at which it last was due.
        fraction: of the budget between two times.
        shortest, longest: seconds between two times, whatever the budget.
        share: of the time that the work may take at most, from the second time on; see `record`.
        cost: seconds that the work took the last time.
    """

    spent: float
    seconds: float
    fraction: float = 0.1
    shortest: float = 20.0
    longest: float = 600.0
    share: float = 1.0
    cost: float = 0.0

    def due(self, spent: float, seconds: float) -> bool:
        """Whether the work is due now; if so, the timer starts again from here.

        Args:
            spent: share of the budget that is spent, from 0 to 1.
            seconds: running time.
        """
        passed = seconds - self.seconds
        if passed < self.shortest or (spent - self.spent < self.fraction and passed < self.longest):
            return False
        return self.affordable(spent, seconds)

    def affordable(self, spent: float, seconds: float) -> bool:
        """Whether the work fits into its share now, due or not; if so, the timer starts again from here."""
        if seconds - self.seconds < self.cost / self.share:
            return False
        self.spent, self.seconds = spent, seconds
        return True

    def record(self, seconds: float) -> None:
        """Notes how long the work took: the next time waits until that is at most `share` of the time."""
        self.cost = seconds


@dataclass
class Milestones:
    """Milestones that divide a budget into `count` equal parts.

    Args:
        count: of the parts.
        spent: share of the budget that is spent at the start.
        early: number of further milestones in the first part: at 1 / 2, 1 / 4, 1 / 8 ... of it.
    """

    count: int
    spent: float
    early: int = 0

    def due(self, spent: float) -> bool:
        """Whether a milestone was passed since the last call; `spent` is a share of the budget, from 0 to 1."""
        before, now = (self._passed(self.count * value + 1e-9) for value in (self.spent, spent))
        self.spent = spent
        return now > before

    def _passed(self, parts: float) -> int:
        return int(parts) + sum(parts >= 0.5**halving for halving in range(1, self.early + 1))


@dataclass
class TimeShare:
    """Limit on optional work: all of it together takes at most a share of the running time.

    Args:
        share: of the running time, at most.
        spent: seconds that the work has taken so far.
        last: seconds that it took the last time; None before the first.
        at: seconds of the running time when it was done last.
    """

    share: float
    spent: float = 0.0
    last: float | None = None
    at: float = 0.0

    def affordable(self, elapsed: float, guess: float) -> bool:
        """Whether the work fits into the share of all the time, and of the time since it was done last.

        Before its first time, `guess` stands for its seconds.
        """
        needed = guess if self.last is None else self.last
        fits = self.spent + needed <= self.share * elapsed
        return fits and needed <= self.share * (elapsed - self.at)

    def record(self, elapsed: float, seconds: float, setup: float = 0.0) -> None:
        """Notes that the work was done, and how long it took, with a setup that is done only once."""
        self.spent += seconds
        self.last, self.at = seconds - setup, elapsed
