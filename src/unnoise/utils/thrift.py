"""What watches a run may cost a fixed share of it: it waits until it has been earned."""

from dataclasses import dataclass


@dataclass
class Thrift:
    """Says when something may be done again, so that all of it together takes at most a share of the time.

    Args:
        share: of all the time since the start, at most.
        spent: seconds that it has taken so far.
        last: seconds that it took the last time; None before the first.
    """

    share: float
    spent: float = 0.0
    last: float | None = None

    def affordable(self, elapsed: float, guess: float) -> bool:
        """Whether another time still fits in; a guess in seconds stands for what was never measured."""
        return self.spent + (guess if self.last is None else self.last) <= self.share * elapsed

    def paid(self, seconds: float) -> None:
        """It was done once more, and took so long."""
        self.spent += seconds
        self.last = seconds
