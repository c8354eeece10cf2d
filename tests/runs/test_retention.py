"""Retention of states: a run can always go back to what was known to be good."""

import numpy as np

from unnoise.runs.retention import kept_states


def test_the_two_newest_states_and_the_pinned_one_are_kept():
    assert kept_states([10]) == {10}
    assert kept_states([10, 20, 30]) == {20, 30}
    assert kept_states([10, 20, 30, 40], sound=25) == {20, 30, 40}
    assert kept_states([10, 20, 30, 40], sound=40) == {30, 40}
    assert kept_states([10, 20], sound=5) == {10, 20}


def test_a_state_before_losses_that_may_be_faulty_is_kept():
    """With long steps each is saved, and a fault of the loss is known only after some more."""
    assert kept_states([1, 20, 21, 22, 23], trusted=20) == {20, 23}
    assert kept_states([1, 20, 21, 22, 23], trusted=20, sound=22) == {20, 23}
    assert kept_states([1, 20, 21, 22, 23], trusted=20, sound=5) == {1, 20, 23}
    assert kept_states([21, 22, 23], trusted=20) == {22, 23}


def test_whatever_is_saved_and_looked_at_there_is_a_good_state_to_go_back_to():
    """Random saves and looks: the newest state known to be good for both loss and samples is never deleted."""
    numbers = np.random.default_rng(0)
    for _ in range(200):
        states: set[int] = set()
        sound = 0
        for step in range(1, 120):
            trusted = step - 3
            if numbers.random() < 0.05:
                sound = step
            if numbers.random() < 0.4:
                known = [one for one in {*states, step} if one <= min(sound, trusted)]
                states = kept_states({*states, step}, trusted=trusted, sound=sound)
                assert len(states) <= 3
                assert step in states
                assert max(known, default=step) in states
