"""The queue and the trainer's process: started, paused, killed and found again, from the folders alone."""

import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from unnoise import UnnoiseError
from unnoise.app import jobs
from unnoise.app.errors import ConflictError
from unnoise.app.records import Job, change_job, read_job, write_job
from unnoise.app.runs import details, list_runs, summary
from unnoise.app.workspace import Workspace
from unnoise.runs.lock import Start, holder_of


@pytest.fixture
def workspace(tmp_path):
    opened = Workspace.open(tmp_path / "workspace")
    yield opened
    for name in opened.run_names():
        job = read_job(opened, name)
        if job is not None and job.runs:
            psutil.Process(job.pid).kill()
            until(lambda job=job: not job.runs)
    jobs.advance(opened)  # which lets the system forget them


def until(condition, seconds=120.0):
    """Waits until something is so; the limit only ends what would never be."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "it never came about"
        time.sleep(0.1)
    return found


def state(workspace, name):
    return summary(workspace, name)["state"]


@pytest.mark.slow
def test_a_run_is_paused_killed_and_goes_on(workspace):
    name = jobs.start(workspace, "digits", "one", {"minutes": 2, "preset": "nano"})
    until(lambda: details(workspace, name)["step"] > 0)
    assert state(workspace, name) == "training"
    assert (
        summary(workspace, name)["command"] == "unnoise train digits --out runs/one --minutes 2 --preset nano"
    )
    second = jobs.start(workspace, "digits", "two", {"minutes": 60})
    assert state(workspace, second) == "waiting"  # one at a time

    jobs.pause(workspace, name)
    until(lambda: state(workspace, name) == "paused")
    step = details(workspace, name)["step"]
    assert step > 0
    jobs.advance(workspace)
    assert state(workspace, second) == "waiting"  # a paused run keeps its place
    jobs.cancel(workspace, second)

    jobs.resume(workspace, name)
    until(lambda: details(workspace, name)["step"] > step)
    assert holder_of(workspace.runs / name).pid == read_job(workspace, name).pid
    psutil.Process(read_job(workspace, name).pid).kill()
    until(lambda: state(workspace, name) not in {"training", "preparing"})
    found = summary(workspace, name)
    assert found["state"] == "crashed"  # which is told from one that was stopped
    assert "killed" in found["message"]
    assert "resume" in found["actions"]
    assert found["step"] >= step  # what was saved is kept

    jobs.delete(workspace, name)
    assert workspace.run_names() == []
    assert jobs.restore(workspace, name) == "one"
    assert summary(workspace, "one")["step"] == found["step"]


def test_a_distilled_run_goes_on_with_the_pictures_of_the_run_that_it_came_from(workspace):
    folder = workspace.runs / "fast"
    (folder / "training").mkdir(parents=True)
    (folder / "training" / "step-000004.safetensors").touch()
    config = {
        "data": {"source": str(workspace.root / "photos"), "height": 8, "width": 8},
        "budget": {"unit": "minutes", "amount": 2.0},
        "recipe": {"mean_velocity": {"walking": {}}},
        "init": str(workspace.runs / "slow"),
    }
    (folder / "config.json").write_text(json.dumps(config))
    other = psutil.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)  # keeps the queue waiting
    start = Start.of(other.pid)
    write_job(workspace, Job("other", ("train",), 0.0, pid=other.pid, started=start.clock, uptime=start.uptime))
    jobs.resume(workspace, "fast")
    assert read_job(workspace, "fast").words == ("train", "photos", "--out", "runs/fast", "--resume")
    other.kill()
    other.communicate()


@pytest.mark.slow
def test_a_run_that_cannot_start_says_why(workspace):
    (workspace.root / "empty").mkdir(parents=True)
    name = jobs.start(workspace, "./empty", "none", {"minutes": 1})
    until(lambda: state(workspace, name) == "failed")
    assert "no pictures" in summary(workspace, name)["message"].lower()
    assert list_runs(workspace).total == 1


def test_a_process_number_that_was_given_anew_is_no_trainer(workspace):
    me = psutil.Process()
    job = Job("one", ("train", "digits"), 0.0, pid=me.pid, started=me.create_time())
    write_job(workspace, job)
    assert job.runs
    assert not change_job(workspace, job, started=me.create_time() - 100).runs


@pytest.mark.skipif(not Path("/proc/sys/kernel/random/boot_id").is_file(), reason="Linux names its starts")
@pytest.mark.parametrize("step", [-3600, 3600])
def test_a_clock_that_is_set_ends_no_training(workspace, monkeypatch, step):
    """Linux tells the time of day of a start by its clock now: a paused virtual machine moves all of them."""
    start = Start.of(os.getpid())
    job = Job("one", ("train", "digits"), 0.0, pid=os.getpid(), started=start.clock, uptime=start.uptime)
    job = replace(job, boot=start.boot)
    create_time, boot_time = psutil.Process.create_time, psutil.boot_time
    monkeypatch.setattr(psutil.Process, "create_time", lambda process: create_time(process) + step)
    monkeypatch.setattr(psutil, "boot_time", lambda: boot_time() + step)
    assert job.runs
    assert not change_job(workspace, job, uptime=start.uptime - 100).runs
    assert not change_job(workspace, job, uptime=None).runs  # written by an earlier version
    assert not change_job(workspace, job, boot="of before").runs  # a process of then has ended


@pytest.mark.parametrize("minutes", [0, -1, float("nan"), float("inf"), "soon", 10**9])
def test_minutes_are_bounded(workspace, minutes):
    with pytest.raises(UnnoiseError, match="minutes are above 0"):
        jobs.start(workspace, "digits", "one", {"minutes": minutes})
    assert list_runs(workspace).total == 0


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a\\b", "-x", "con", "a.", " a", "a\n", "x" * 61])
def test_names_are_those_of_folders(workspace, name):
    with pytest.raises(UnnoiseError, match="cannot be a name"):
        jobs.start(workspace, "digits", name, {"minutes": 1})


def test_what_does_not_fit_the_state_is_refused(workspace):
    write_job(workspace, Job("one", ("train", "digits", "--out", "runs/one"), 1.0, wanted="stop", pid=0))
    for action in (jobs.pause, jobs.stop, jobs.cancel):
        with pytest.raises(ConflictError):
            action(workspace, "one")
    jobs.delete(workspace, "one")
    assert read_job(workspace, "one") is None
