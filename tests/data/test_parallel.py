"""Parallel map over threads: order, errors, and interruption at any moment."""

import signal
import sys
from contextlib import closing
from queue import SimpleQueue

import pytest

from helpers.killed import server
from unnoise.api.stopping import StopSignals
from unnoise.data.parallel import map_in_order


def test_results_come_in_the_order_of_the_items():
    for count in (0, 1, 7, 300):
        assert list(map_in_order(lambda number: number**2, range(count))) == [
            number**2 for number in range(count)
        ]


def test_an_error_is_raised_when_its_result_is_asked_for():
    with closing(map_in_order(lambda number: 1 / (number - 2), range(9))) as found:
        assert [next(found), next(found)] == [-0.5, -1]
        with pytest.raises(ZeroDivisionError):
            next(found)


def _interrupted(place: int) -> int:
    """Reads with Ctrl-C at this moment; returns how many there were until then, or in all.

    Signals are answered where a function begins and after one of C has returned, but not before it is called:
    there the end of a `with` would be left out.
    """
    seen, answers = [0], SimpleQueue()

    def event(_frame: object, kind: str, _: object) -> None:
        seen[0] += kind in {"call", "c_return"}
        if seen[0] == place and kind in {"call", "c_return"}:
            signal.raise_signal(signal.SIGINT)

    def read() -> None:
        with closing(map_in_order(answers.put, range(20))) as found:
            for _ in found:
                answers.get()

    with StopSignals(graceful=False) as stop:
        sys.setprofile(event)
        read()
        sys.setprofile(None)
    sys.setprofile(None)
    assert stop.received == (0 < place <= seen[0])
    return seen[0]


def _interrupted_everywhere() -> None:
    """At each call of a function and each return from one, until it has ended before its turn came."""
    place = 1
    while _interrupted(place) >= place:
        place += 1
    assert place > 200


@pytest.mark.slow
def test_an_interrupt_at_any_moment_ends_the_map():
    """In a process of its own, as it leaves threads whose start was interrupted."""
    child = server().Process(target=_interrupted_everywhere)
    child.start()
    child.join()
    assert child.exitcode == 0
