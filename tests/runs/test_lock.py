"""Lock on a run's folder: one process at a time, told by name, and gone with its process."""

import json
import os
import signal
import socket
import subprocess
import sys

import psutil
import pytest

from unnoise.runs.lock import lock_run
from unnoise.utils.errors import UnnoiseError
from unnoise.utils.files import WriteError

HOLD = """
import sys
from pathlib import Path
from unnoise.runs.lock import lock_run
with lock_run(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that holds tmp_path/run."""
    command = [sys.executable, "-c", HOLD, str(tmp_path / "run")]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def signed(path, **changes):
    """What a process that still runs (this one's parent) would have written, with some changes."""
    parent = psutil.Process(os.getppid())
    facts = {"host": socket.gethostname(), "pid": parent.pid, "started": parent.create_time(), "since": 0.0}
    (path / ".lock").touch()
    facts |= {"file": (path / ".lock").stat().st_ino} | changes
    (path / ".lock.json").write_text(json.dumps(facts))


def test_another_process_is_refused_with_host_process_and_time(tmp_path, holder):
    told = rf"being trained or written by process {holder.pid} on {socket.gethostname()} since \d+ \w+ \d{{4}}"
    with pytest.raises(UnnoiseError, match=told), lock_run(tmp_path / "run"):
        pass


def test_the_lock_ends_with_a_killed_process(tmp_path, holder):
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    with lock_run(tmp_path / "run"):
        assert json.loads((tmp_path / "run" / ".lock.json").read_text())["pid"] == os.getpid()


def test_a_process_may_lock_a_run_twice_and_leaves_nothing_behind(tmp_path):
    with lock_run(tmp_path / "new" / "run"), lock_run(tmp_path / "new" / "run"):
        assert (tmp_path / "new" / "run" / ".lock").exists()
    assert not (tmp_path / "new").exists()


def test_files_in_a_locked_folder_stay(tmp_path):
    with lock_run(tmp_path / "run"):
        (tmp_path / "run" / "config.json").touch()
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["config.json"]


def test_a_lock_that_the_file_system_grants_twice_is_still_refused(tmp_path):
    signed(tmp_path)
    with pytest.raises(UnnoiseError, match=f"process {os.getppid()} on"), lock_run(tmp_path):
        pass


@pytest.mark.parametrize("changes", [{"started": 1.0}, {"pid": 2**22 + 1}, {"file": 1}])
def test_signs_of_a_dead_process_and_of_a_copied_folder_do_not_count(tmp_path, changes):
    signed(tmp_path, **changes)
    with lock_run(tmp_path):
        pass


def test_a_process_on_another_host_is_warned_of(tmp_path):
    signed(tmp_path, host="elsewhere")
    with pytest.warns(UserWarning, match="on elsewhere since .* If it still trains there"), lock_run(tmp_path):
        pass


def test_a_damaged_sign_does_not_count(tmp_path):
    (tmp_path / ".lock.json").write_text("{")
    with lock_run(tmp_path):
        pass


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(WriteError, match="file/run"), lock_run(tmp_path / "file" / "run"):
        pass
