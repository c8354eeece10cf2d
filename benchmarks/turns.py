"""Timing in turns (A B A B), so that a busy moment of the machine slows all candidates alike.

Candidates that are measured take one turn after the other, and the medians of the turns count. Contenders that
train for the same minutes do so in slices, each by its own clock:

    A B C D A B C D ...        slice k of each lasts until its own clock says k * length

A step is never broken off: if it overruns, the next slice is shorter. At each mark of its own clock a
contender's weights are handed over, which no clock counts.
"""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from statistics import median
from typing import Generic, Protocol, TypeVar

from unnoise.api.reporting import progress_bar

Clock = Callable[[], float]


def timed(action: Callable[[], object], calls: int = 1, clock: Clock = time.perf_counter) -> float:
    """Seconds of one call, as the mean of so many calls."""
    started = clock()
    for _ in range(calls):
        action()
    return (clock() - started) / calls


def calls_within(action: Callable[[], object], seconds: float) -> int:
    """Number of calls that take at least these seconds together, by the time of one call."""
    return math.ceil(seconds / timed(action))


def in_turns(
    runs: Mapping[str, Callable[[], float]], turns: int, title: str = "", *, warmup: int = 1
) -> dict[str, list[float]]:
    """The values that each run returns in its turns; those of the first `warmup` turns are left out.

    Args:
        runs: by name; each returns what it measured, such as seconds.
        turns: that count.
        title: of a progress bar; none without it.
        warmup: turns before them.
    """
    values: dict[str, list[float]] = {name: [] for name in runs}
    with progress_bar(title, turns + warmup, hidden=not title) as bar:
        for turn in range(turns + warmup):
            for name, run in runs.items():
                value = run()
                if turn >= warmup:
                    values[name].append(value)
            bar.advance(1)
    return values


def medians(values: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """The median of each list."""
    return {name: median(each) for name, each in values.items()}


# --- training in slices ---------------------------------------------------------------------------------------


class Trainable(Protocol):
    """Anything that trains step by step."""

    @property
    def batch_size(self) -> int:
        """Images of a step."""
        ...

    def step(self, spent: float) -> None:
        """Trains on one batch, when this fraction of the budget is spent."""
        ...


Kind = TypeVar("Kind", bound=Trainable)


class Runner(Generic[Kind]):
    """A contender with the seconds and steps that it has trained."""

    def __init__(self, name: str, contender: Kind) -> None:
        self.name, self.contender = name, contender
        self.seconds, self.steps = 0.0, 0

    @property
    def images(self) -> int:
        """Images seen; each counts as often as it was seen."""
        return self.steps * self.contender.batch_size

    def train(self, until: float, budget: float, clock: Clock) -> None:
        """Trains until its own clock says so."""
        before, started = self.seconds, clock()
        while self.seconds < until:
            self.contender.step(min(1.0, self.seconds / budget))
            self.steps += 1
            self.seconds = before + clock() - started


def train_in_slices(
    runners: Sequence[Runner[Kind]], marks: Sequence[float], length: float, clock: Clock
) -> Iterator[tuple[Runner[Kind], float | None]]:
    """Trains all runners until the last mark, in slices of `length` seconds.

    Yields:
        A runner and the mark that it has reached, or None at the end of a slice.
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
