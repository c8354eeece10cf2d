"""The worker's process: it takes up what waits, reads what it is told, and may be killed at any moment."""

import json
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import pytest
from PIL import Image

import unnoise as un
from helpers.worker_tasks import TINY, ask
from unnoise.app import tasks
from unnoise.app.workspace import Workspace


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    """With a run on digits that was hardly trained."""
    opened = Workspace.open(tmp_path / "workspace")
    monkeypatch.setenv("UNNOISE_CACHE", str(tmp_path / "cache"))
    un.train("digits", steps=1, out=opened.runs / "one", **TINY)
    return opened


@contextmanager
def worker(workspace):
    """A worker, as the server starts it; killed in the end."""
    command = [sys.executable, "-m", "unnoise.app.worker", str(workspace.root)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            yield process
        finally:
            process.kill()


def state(folder):
    """What the state says; it is whole whenever it is read."""
    try:
        return json.loads((folder / "state.json").read_text())
    except FileNotFoundError:
        return {"state": "waiting", "progress": 0}


def until(folder, condition, seconds=60):
    """Waits for a state; the limit only ends what would never come."""
    end = time.monotonic() + seconds
    while not condition(found := state(folder)):
        assert time.monotonic() < end, found
        time.sleep(0.02)
    return found


def ended(found):
    return found["state"] in {"done", "failed"}


def tell(process, folder):
    process.stdin.write(f"{folder.name}\n".encode())
    process.stdin.flush()


def test_a_killed_worker_leaves_whole_files_and_the_next_goes_on(workspace):
    short, endless = ask(workspace, "draw", number=2), ask(workspace, "draw", number=200, steps=1000)
    with worker(workspace) as process:
        assert until(short, ended)["state"] == "done"  # it found what waited
        until(endless, lambda found: found["progress"] > 0)
        unknown = ask(workspace, "draw", sampler="magic")
        tell(process, unknown)
        process.send_signal(signal.SIGKILL)
    left = state(endless)
    assert left["state"] == "working"
    assert 0 < left["progress"] < 1
    assert left["files"] == []
    for path in short.glob("0*.png"):
        with Image.open(path) as opened:
            opened.load()

    request = json.loads((endless / "request.json").read_text())
    (endless / "request.json").write_text(json.dumps(request | {"number": 1, "steps": 1}))
    with worker(workspace) as process:
        assert until(endless, ended)["files"] == ["000000.png", "sheet.png"]  # done again from the start
        assert "sampler is one of" in until(unknown, ended)["error"]

        long = ask(workspace, "reverse", seed=1, steps=1000)
        process.stdin.write(b"ffffffffffffffff\n../../runs\n\xff\n\n")  # what is no task is passed over
        tell(process, long)
        until(long, lambda found: found["progress"] > 0)
        tasks.cancel(workspace, long.name)
        assert until(long, ended)["error"] == "Cancelled."

        told = ask(workspace, "draw", number=1)
        tell(process, told)
        assert until(told, ended)["state"] == "done"
        process.stdin.close()
        assert process.wait(10) == 0


def test_tasks_do_not_wait_for_ever_where_the_worker_cannot_start(tmp_path, monkeypatch):
    workspace = Workspace.open(tmp_path / "workspace")
    monkeypatch.setattr(tasks.sys, "executable", shutil.which("false"))
    folder, starter = ask(workspace, "draw"), tasks.Worker(workspace)
    starter.tell(folder.name)
    end = time.monotonic() + 20
    while not ended(state(folder)):
        assert time.monotonic() < end
        starter.look_after()
        time.sleep(0.02)
    assert "does not start" in state(folder)["error"]
    assert tasks.describe(workspace, folder.name)["state"] == "failed"
    starter.close()
