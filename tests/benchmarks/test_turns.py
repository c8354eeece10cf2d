"""Tests of timing in turns, and of training in slices."""

from benchmarks.turns import Runner, in_turns, medians, timed, train_in_slices
from helpers.slow_contender import Clock, Slow


def test_runs_alternate_and_the_first_turn_does_not_count():
    order, left = [], {"a": [100, 1, 9, 2], "b": [50, 4, 3, 5]}

    def run(name):
        order.append(name)
        return left[name].pop(0)

    values = in_turns({"a": lambda: run("a"), "b": lambda: run("b")}, 3)
    assert order == ["a", "b"] * 4
    assert values == {"a": [1, 9, 2], "b": [4, 3, 5]}
    assert medians(values) == {"a": 2, "b": 4}
    assert in_turns({"c": lambda: 7.0}, 1, warmup=0) == {"c": [7]}


def test_the_time_of_a_call_is_the_mean_of_several():
    clock = Clock()
    assert timed(lambda: setattr(clock, "now", clock.now + 3), 4, clock) == 3
    assert clock.now == 12


def test_slices_alternate_and_add_up_to_the_budget():
    clock, log = Clock(), []
    runners = [Runner(name, Slow(clock, seconds, log, name)) for name, seconds in (("a", 1.0), ("b", 0.25))]
    found = [(runner.name, mark) for runner, mark in train_in_slices(runners, [3.0, 8.0], 2.0, clock)]
    assert [name for name, mark in found if mark is None] == ["a", "b"] * 4
    assert [one for one in found if one[1]] == [("a", 3.0), ("b", 3.0), ("a", 8.0), ("b", 8.0)]
    assert log[:12] == ["a"] * 2 + ["b"] * 8 + ["a"] * 2
    assert [runner.seconds for runner in runners] == [8.0, 8.0]
    assert [(runner.steps, runner.images) for runner in runners] == [(8, 64), (32, 256)]
    assert runners[0].contender.spent == [step / 8 for step in range(8)]


def test_a_step_that_overruns_shortens_the_next_slice():
    clock = Clock()
    runner = Runner("a", Slow(clock, 3.0))
    spent = [(runner.seconds, mark) for _, mark in train_in_slices([runner], [1.0, 10.0], 2.0, clock)]
    assert spent == [(3, 1), (3, None), (6, None), (6, None), (9, None), (12, 10), (12, None)]


def test_no_clock_runs_while_weights_are_handed_over():
    clock = Clock()
    runner = Runner("a", Slow(clock, 1.0))
    for _ in train_in_slices([runner], [2.0, 4.0], 3.0, clock):
        clock.now += 100
    assert runner.seconds == 4
