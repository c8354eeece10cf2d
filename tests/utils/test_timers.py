"""Timers of recurring work: `BudgetTimer`, `Milestones` and `TimeShare`."""

import itertools

import numpy as np
import pytest

from unnoise.utils.timers import BudgetTimer, Milestones, TimeShare

SHARE = 0.02


def test_a_budget_timer_is_due_after_a_fraction_of_the_budget_within_its_seconds():
    timer = BudgetTimer(0.0, 0.0, fraction=0.1, shortest=20.0, longest=600.0)
    assert not timer.due(0.5, 19.0)  # too soon, whatever the fraction
    assert timer.due(0.5, 21.0)
    assert not timer.due(0.55, 100.0)
    assert timer.due(0.55, 700.0)  # longer ago than `longest`


@pytest.mark.parametrize("minutes", [1, 2, 10, 100])
@pytest.mark.parametrize("seconds", [0.1, 3.0, 15.0])
def test_work_of_a_budget_timer_takes_at_most_its_share_after_an_early_first_time(minutes, seconds):
    """Simulated: a run of so many minutes whose work takes so many seconds, asked twice a second."""
    timer, now, times = BudgetTimer(0.0, 0.0, share=SHARE), 0.0, []
    while now < 60 * minutes:
        now += 0.5
        if timer.due(now / (60 * minutes), now):
            times.append(now)
            timer.record(seconds)
            now += seconds
    assert times[0] == max(20, 6 * minutes)
    assert all(later - earlier >= seconds / SHARE for earlier, later in itertools.pairwise(times))
    assert seconds * (len(times) - 1) <= SHARE * 60 * minutes


def test_milestones_divide_the_budget_equally():
    milestones = Milestones(5, 0.0)
    assert [step for step in range(1, 11) if milestones.due(step / 10)] == [2, 4, 6, 8, 10]
    assert not Milestones(5, 0.4).due(0.5)  # resumed
    assert Milestones(8, 0.0).due(1.0)
    early = Milestones(4, 0.0, early=3)
    assert [step for step in range(1, 101) if early.due(step / 100)] == [4, 7, 13, 25, 50, 75, 100]
    assert not Milestones(4, 0.1, early=3).due(0.12)


@pytest.mark.parametrize("share", [1 / 80, 1 / 20])
def test_work_of_a_time_share_takes_nearly_all_of_its_share_and_no_more(share):
    """Simulated: each time takes 3 to 9 seconds, and the guess for the first one is too short."""
    limit, rng, now, spent = TimeShare(share), np.random.default_rng(0), 0.0, 0.0
    for _ in range(20_000):
        now += 0.5
        if limit.affordable(now, guess=1.0):
            seconds = float(rng.uniform(3, 9))
            limit.record(now, seconds)
            now, spent = now + seconds, spent + seconds
    assert 0.9 * share < spent / now <= 1.01 * share


@pytest.mark.parametrize(("guess", "setup"), [(4.0, 8.0), (4.0, 0.0), (20.0, 0.0)])
def test_work_never_comes_in_bursts(guess, setup):
    """Not after a setup that is done once, nor where less time was taken than was guessed."""
    limit, now, times = TimeShare(SHARE), 0.0, []
    while len(times) < 6:
        now += 0.5
        if limit.affordable(now, guess):
            limit.record(now, 4.0 + (0.0 if times else setup), 0.0 if times else setup)
            times.append(now)
    gaps = np.diff(times)
    assert times[0] == guess / SHARE
    assert gaps[0] == (4 + setup + 4 - guess if setup else 4) / SHARE
    assert (gaps[1:] == 4 / SHARE).all()
