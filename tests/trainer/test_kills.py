"""Killed runs: at any moment, the folder is whole and the resumed run is the unharmed one."""

import os
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest

from helpers import reliability
from helpers.killed import SOURCE, STEPS, Aim, begin, calls_file, finished, weights
from helpers.runs import with_few_walks
from unnoise.runs.checkpoint import Run
from unnoise.runs.config import Budget
from unnoise.runs.distillation import distilled_config

KILLS = 30
AIMED = [
    Aim(what, count, after)
    for what, counts in (
        ("half", (1, 2, 3, 7)),
        ("flush", (1, 3, 8, 17)),
        ("name", (2, 5, 9)),
        ("sweep", (1, 4)),
    )
    for count in counts
    for after in (False, True)
]


@pytest.mark.slow
@pytest.mark.row("L8")
def test_killed_at_many_moments(place, children, unharmed, record_property):
    """At random calls of functions, and while files are written, flushed or renamed."""
    expected, calls = unharmed
    numbers = np.random.default_rng(7)
    aims, late, different = iter(AIMED), 0, []
    killed = 0
    while killed < KILLS:
        run = place / f"killed-{killed}"
        aim = next(aims, None) or Aim("call", int(numbers.integers(1, calls + 1)))
        child = begin(children, run, aim)
        child.join()
        if child.exitcode == 0:  # it made fewer calls than the first one, which found nothing in the cache
            late += 1
            assert late <= KILLS, aim
        else:
            assert child.exitcode == -signal.SIGKILL, run.with_suffix(".err").read_text()
            killed += 1
        if finished(children, run) != expected:
            different.append(aim)
        shutil.rmtree(run)
    told = f"{killed} kills, {len(AIMED)} of them aimed at files, {len(different)} differences"
    record_property("counted", told)
    assert not different
    assert told == reliability.KILLS  # which is what docs/reliability.md says


@pytest.mark.slow
def test_killed_while_it_is_distilled(place, children, unharmed):
    """While files are written, flushed, renamed and removed: walks begin where they would have."""
    budget = Budget(unit="steps", amount=float(STEPS))
    config = with_few_walks(distilled_config(Run.open(place / "unharmed"), budget))
    expected = finished(children, Run.create(place / "distilled", config).path)
    for aim in (Aim("half", 2), Aim("flush", 8, after=True), Aim("name", 5), Aim("sweep", 1)):
        run = Run.create(place / f"distilled-{aim.what}", config).path
        child = begin(children, run, aim)
        child.join()
        assert child.exitcode == -signal.SIGKILL, run.with_suffix(".err").read_text()
        assert finished(children, run) == expected


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGHUP])
def test_signals_save_and_exit_with_0(place, children, unharmed, number):
    """At random calls of functions, from the first after the handlers are set."""
    expected, calls = unharmed
    kills = 2 if number in (signal.SIGTERM, signal.SIGINT) else 1
    for count in np.random.default_rng(int(number)).integers(1, calls + 1, kills):
        run = place / f"signal-{number}-{count}"
        child = begin(children, run, Aim("call", int(count), number=number))
        child.join()
        told = run.with_suffix(".err").read_text()
        assert child.exitcode == 0, told
        if int(calls_file(run).read_text()) >= count:
            assert "Finishing this step and saving" in told or "Stopped before the first step" in told
        assert finished(children, run) == expected


@pytest.mark.slow
def test_a_second_interrupt_ends_at_once(place, children, unharmed):
    """During a step: nothing more is saved, and nothing that was saved is lost."""
    expected, _ = unharmed
    run = place / "impatient"
    child = begin(children, run, Aim("twice", 4))
    child.join()
    assert child.exitcode == 130
    told = run.with_suffix(".err").read_text()
    assert "press Ctrl-C again to stop at once" in told
    assert "Stopped at once; what was saved before is kept." in told
    states = sorted(path.stem for path in (run / "training").glob("[0-9]*.safetensors"))
    assert states == ["0000000002", "0000000003"]
    assert finished(children, run) == expected


@pytest.mark.slow
@pytest.mark.parametrize("quota", [1, 5, 8, 13, 22])
def test_a_full_disk_costs_only_a_warning(place, children, unharmed, quota):
    """Three files in a row cannot be written: the run warns, keeps what it has, and trains on."""
    expected, _ = unharmed
    run = place / f"full-{quota}"
    child = begin(children, run, quota=quota)
    child.join()
    told = run.with_suffix(".err").read_text()
    assert "Traceback" not in told
    assert "no space left on device" in told
    if quota == 1:  # config.json cannot be written
        assert child.exitcode == 2
    else:
        assert child.exitcode == 0, told
        assert "choose another path. Training goes on, and tries again later." in told
    assert weights(finished(children, run)) == weights(expected)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="needs a small disk of its own")
def test_a_really_full_disk_ends_with_one_sentence(place, children, unharmed, tmp_path):
    """On a disk of 400 kB the run ends with a sentence; with room made it goes on to the same weights."""
    expected, _ = unharmed
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", str(disk)], check=False)
    if mounted.returncode:
        pytest.skip("no file system can be mounted here")
    try:
        np.save(disk / SOURCE, np.load(place / SOURCE))
        run = disk / "run"
        child = begin(children, run)
        child.join()
        told = run.with_suffix(".err").read_text()
        assert child.exitcode == 2, told
        assert "no space left on device" in told.lower()
        assert "Traceback" not in told
        subprocess.run(["mount", "-o", "remount,size=64m", str(disk)], check=True)
        assert weights(finished(children, run)) == weights(expected)
    finally:
        subprocess.run(["umount", str(disk)], check=False)
