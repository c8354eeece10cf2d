"""What is done along a run is done in time with its budget, but neither too often nor too seldom."""

from dataclasses import dataclass


@dataclass
class Interval:
    """Says when something is due: each tenth of the budget, but neither too often nor too seldom.

    Args:
        spent, seconds: where it counts from.
        fraction: of the budget.
        shortest, longest: in seconds, whatever the budget.
        share: of the time that it may take at most, from the second time on; see `paid`.
    """

    spent: float
    seconds: float
    fraction: float = 0.1
    shortest: float = 20.0
    longest: float = 600.0
    share: float = 1.0
    cost: float = 0.0

    def due(self, spent: float, seconds: float) -> bool:
        """Whether it is time; if so, counts anew from here."""
        passed = seconds - self.seconds
        if passed < max(self.shortest, self.cost / self.share):
            return False
        if spent - self.spent < self.fraction and passed < self.longest:
            return False
        self.spent, self.seconds = spent, seconds
        return True

    def paid(self, seconds: float) -> None:
        """It took so long: the next time waits until that is no more than its share."""
        self.cost = seconds


@dataclass
class Shares:
    """Says when another of so many equal parts of the budget is spent."""

    count: int
    spent: float

    def due(self, spent: float) -> bool:
        """Whether one was completed since this was last asked."""
        before, now = (int(self.count * value + 1e-9) for value in (self.spent, spent))
        self.spent = spent
        return now > before
