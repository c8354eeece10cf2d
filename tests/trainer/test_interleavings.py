"""Random interleavings of starts, kills, second starts, full disks and lost terminals: nothing is lost."""

import shutil
import signal
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from helpers import reliability
from helpers.killed import (
    STEPS,
    Aim,
    Pause,
    begin,
    finished,
    weights,
)

PARTS, EACH = 4, 6
EVENTS = ("kill", "kill in a file", "signal", "second start", "disk full", "log only")
LOGS = ("file", "closed", "full")


def newest(run: Path) -> int:
    """The step of the newest state, 0 for none."""
    return max((int(path.stem) for path in (run / "training").glob("[0-9]*.safetensors")), default=0)


def refused_twice(children, run: Path) -> None:
    """A second start of a run that is being trained."""
    second = begin(children, run)
    second.join()
    assert second.exitcode == 2
    assert f"{run} is being trained or written by process" in run.with_suffix(".err").read_text()


def session(children, run: Path, event: str, log: str, calls: int, numbers: np.random.Generator) -> None:
    """Trains until something happens, or the end."""
    options = {"log": log}
    allowed = {0}
    match event:
        case "kill":
            options["aim"] = Aim("call", int(numbers.integers(1, calls + 1)))
            allowed |= {-signal.SIGKILL}
        case "kill in a file":
            what = ("half", "flush", "name", "sweep")[numbers.integers(4)]
            options["aim"] = Aim(what, int(numbers.integers(1, 9)), bool(numbers.integers(2)))
            allowed |= {-signal.SIGKILL}
        case "signal":
            number = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)[numbers.integers(3)]
            options["aim"] = Aim("call", int(numbers.integers(1, calls + 1)), number=number)
        case "disk full":
            options["quota"] = int(numbers.integers(1, 30))
            allowed |= {2}
    if event != "second start":
        child = begin(children, run, **options)
        child.join()
    else:
        mine, its = children.Pipe()
        child = begin(children, run, pause=Pause(int(numbers.integers(1, STEPS + 1)), its), **options)
        try:
            mine.recv()
        except EOFError:  # fewer steps were left
            pass
        else:
            refused_twice(children, run)
            mine.send("go on")
        child.join()
    assert child.exitcode in allowed, (event, log, child.exitcode, told(run))


def told(run: Path) -> str:
    path = run.with_suffix(".err")
    return path.read_text() if path.exists() else ""


@pytest.mark.slow
@pytest.mark.parametrize("part", range(PARTS))
def test_nothing_trained_is_lost_in_random_interleavings(place, children, unharmed, part, record_property):
    """States never go back, and the weights at the end are those of the run that nothing happened to."""
    expected, calls = unharmed
    numbers = np.random.default_rng([16, part])
    lost, events = [], Counter()
    for number in range(EACH):
        run, history = place / f"run-{part}-{number}", []
        for _ in range(1 + (number % 4 == 0)):
            event, log = EVENTS[numbers.integers(len(EVENTS))], LOGS[numbers.integers(len(LOGS))]
            history.append((event, log))
            before = newest(run)
            session(children, run, event, log, calls, numbers)
            if newest(run) < before:
                lost.append(history)
        events.update(event for event, _ in history)
        if weights(finished(children, run)) != weights(expected):
            lost.append(history)
        shutil.rmtree(run)
    record_property(
        "counted", f"{EACH} random interleavings, {dict(events)}, {len(lost)} of them lost something"
    )
    assert not lost
    assert f"{PARTS * EACH} random interleavings" in reliability.HEAD
