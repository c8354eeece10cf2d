"""Those who are compared by time take turns, each by a clock of its own, so that a busy moment meets all.

    A B C D A B C D ...        turn k of each lasts until its own clock says k * length

A step is never broken off: what it takes too long, the next turn is shorter. At each mark of its own clock a
contender's weights are handed over while no clock runs.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Generic, Protocol, TypeVar


class Trainable(Protocol):
    """What takes turns."""

    @property
    def batch_size(self) -> int:
        """Pictures of a step."""
        ...

    def step(self, spent: float) -> None:
        """Trains on one batch, once this fraction of the budget is spent."""
        ...


Kind = TypeVar("Kind", bound=Trainable)


class Runner(Generic[Kind]):
    """A contender with the seconds that it trained, and what it did in them."""

    def __init__(self, name: str, contender: Kind) -> None:
        self.name, self.contender = name, contender
        self.seconds, self.steps = 0.0, 0

    @property
    def images(self) -> int:
        """That it was shown, counted as often as they were."""
        return self.steps * self.contender.batch_size

    def train(self, until: float, budget: float, clock: Callable[[], float]) -> None:
        """Steps until its own clock says so."""
        before, started = self.seconds, clock()
        while self.seconds < until:
            self.contender.step(min(1.0, self.seconds / budget))
            self.steps += 1
            self.seconds = before + clock() - started


def turns(
    runners: Sequence[Runner[Kind]], marks: Sequence[float], length: float, clock: Callable[[], float]
) -> Iterator[tuple[Runner[Kind], float | None]]:
    """Trains all of them until the last mark, in turns of so many seconds.

    Yields:
        a runner and the mark that it has reached, or None at the end of a turn.
    """
    budget, turn = marks[-1], 0
    left = {runner.name: list(marks) for runner in runners}
    while any(left.values()):
        turn += 1
        for runner in (each for each in runners if left[each.name]):
            end = min(turn * length, budget)
            while left[runner.name] and left[runner.name][0] <= end:
                mark = left[runner.name].pop(0)
                runner.train(mark, budget, clock)
                yield runner, mark
            runner.train(end, budget, clock)
            yield runner, None
