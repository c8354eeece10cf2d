"""Rhythm of previews on a simulated clock: early, then ever more seldom, and never dear."""

import itertools

import pytest

from unnoise.diffusion.samplers.sampling import Sampling
from unnoise.trainer.previews.rhythm import PreviewRhythm
from unnoise.trainer.previews.sizes import SAMPLE_SEEDS, last_preview_sizes, preview_sizes

TESTED = 256
DAY = 86_400.0


def costs_of(sizes, full: float) -> list[float]:
    """Seconds of each size where the largest under way takes `full` seconds with its test."""
    return [full * size.calls / (preview_sizes(Sampling())[-1].calls + TESTED) for size in sizes]


class Simulated:
    """A run of so many seconds, in steps of half a second or a 20,000th of it."""

    def __init__(self, length: float, full: float, **begun) -> None:
        self.length, self.rhythm = length, PreviewRhythm(**begun)
        self.costs = costs_of(preview_sizes(Sampling()), full)
        self.last_costs = costs_of(last_preview_sizes(Sampling()), full)
        self.test = full - self.costs[-1]
        self.times, self.sizes, self.tests = [], [], []

    @property
    def taken(self) -> float:
        return self.rhythm.taken + self.rhythm.tested

    def run(self, start: float = 0.0, end: float | None = None) -> float:
        now, stop = start, end or self.length
        while (now := now + max(0.5, self.length / 20_000)) < stop:
            choice = self.rhythm.choose(self.costs, self.test, now / self.length, now)
            if choice is not None:
                now += self._draw(now, choice, self.costs[choice.place])
        if stop == self.length:
            choice = self.rhythm.choose_last(self.last_costs, self.test, now)
            now += self._draw(now, choice, self.last_costs[choice.place])
        return now

    def _draw(self, now: float, choice, cost: float) -> float:
        self.times.append(now)
        self.sizes.append(choice.place)
        self.tests.append(choice.complete)
        self.rhythm.record(now, cost, self.test * choice.complete)
        return cost + self.test * choice.complete


LENGTHS = [60.0, 120.0, 600.0, 1200.0, 3600.0, DAY / 3, 3 * DAY]
FULL = [0.1, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0]


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("full", FULL)
def test_eight_previews_the_first_within_a_minute_wherever_five_percent_allow(length, full):
    run = Simulated(length, full)
    now = run.run()
    smallest = run.costs[0]
    if 8 * smallest <= 0.0275 * length - 1:
        assert len(run.times) >= 8
        assert run.times[0] <= max(60.0, length / 9_000)
    else:  # what gives: fewer previews, and the first comes later
        assert len(run.times) >= 1
    if length >= 60 and smallest <= 0.01 * length:
        assert run.taken < 0.0401 * now
    assert run.times[-1] >= length  # the last one is always drawn


@pytest.mark.parametrize("full", FULL)
@pytest.mark.parametrize("length", [1200.0, DAY])
def test_at_any_moment_previews_took_less_than_four_percent_but_for_the_first(full, length):
    run = Simulated(length, full)
    run.run()
    taken = 0.0
    for place, (now, size, tested) in enumerate(zip(run.times[:-1], run.sizes, run.tests, strict=False)):
        taken += run.costs[size] + run.test * tested
        if place > 0:
            assert taken <= 0.035 * now


@pytest.mark.parametrize("full", [0.1, 10.0])
def test_the_intervals_grow_until_an_eighth_of_the_budget(full):
    run = Simulated(1200.0, full)
    run.run()
    gaps = [after - before for before, after in itertools.pairwise(run.times[:-1])]
    slack = 0.5 + run.costs[-1] + run.test
    assert all(after >= before - slack for before, after in itertools.pairwise(gaps))
    assert gaps[0] < 30
    assert max(gaps) <= 1200 / 8 + slack


def test_cheap_previews_are_large_and_dear_ones_are_small():
    cheap, dear = Simulated(1200.0, 0.2), Simulated(1200.0, 100.0)
    cheap.run()
    dear.run()
    assert set(cheap.sizes[1:-1]) == {len(cheap.costs) - 1}
    assert sum(cheap.tests) > len(cheap.tests) / 2
    assert cheap.sizes[-1] == len(cheap.last_costs) - 1
    assert set(dear.sizes[:3]) == {0}
    assert len(dear.times) >= 8


def test_a_day_has_a_preview_each_ten_minutes_where_the_largest_is_affordable():
    run = Simulated(DAY, 1.0)
    run.run()
    gaps = [after - before for before, after in itertools.pairwise(run.times)]
    assert max(gaps) < 905  # the last one before the end is left out
    assert 140 <= len(run.times) <= 165


@pytest.mark.parametrize("full", [0.1, 10.0, 100.0])
def test_a_resumed_run_goes_on_in_the_rhythm(full):
    whole, first = Simulated(1200.0, full), Simulated(1200.0, full)
    whole.run()
    stopped = first.run(end=400.0)
    before = first.rhythm
    rest = Simulated(1200.0, full, taken=before.taken, tested=before.tested, last=before.last)
    rest.run(start=stopped - 0.5)
    resumed = [*first.times, *rest.times]
    assert len(resumed) == pytest.approx(len(whole.times), abs=1)
    assert rest.times[0] - first.times[-1] > 30  # not anew from 20 s on


def test_sizes_grow_and_hold_the_same_seeds():
    sizes = preview_sizes(Sampling(num_steps=90))
    assert [size.calls for size in sizes] == sorted(size.calls for size in sizes)
    assert sizes[-1].pictures == len(SAMPLE_SEEDS)
    assert (sizes[-1].num_steps, last_preview_sizes(Sampling(num_steps=90))[-1].num_steps) == (30, 90)
    assert all(size.num_steps <= 3 for size in preview_sizes(Sampling(num_steps=3)))
    assert preview_sizes(Sampling(num_steps=30))[-1].num_steps == 20
