"""The app as a process of its own, as one starts it in a terminal."""

import os
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import psutil

from unnoise.app.records import read_jobs
from unnoise.app.workspace import Workspace


def until(condition, seconds=240.0):
    """Waits until something is so; the limit only ends what would never be."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "it never came about"
        time.sleep(0.1)
    return found


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


class AppServer:
    """`unnoise app` over a workspace; `kill` and `start` as often as one likes."""

    def __init__(self, workspace: Path, errors: Path | None = None) -> None:
        self.workspace, self.port, self.errors = workspace, free_port(), errors or Path(os.devnull)
        self.address = f"http://127.0.0.1:{self.port}"
        self.process = None

    def start(self) -> None:
        words = ["app", "--no-browser", "--port", str(self.port), "--workspace", str(self.workspace)]
        with self.errors.open("ab") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "unnoise", *words],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                env={**os.environ, "OMP_NUM_THREADS": "1"},
            )
        until(self._answers)

    def _answers(self) -> bool:
        assert self.process.poll() is None, "the app has ended"
        try:
            with urllib.request.urlopen(f"{self.address}/api/status", timeout=5):
                return True
        except OSError:
            return False

    def kill(self) -> None:
        """As `kill -9`."""
        self.process.kill()
        self.process.wait()

    def trainer(self) -> psutil.Process:
        """The process that trains."""
        (pid,) = [job.pid for job in read_jobs(Workspace.open(self.workspace)) if job.runs]
        return psutil.Process(pid)

    def close(self) -> None:
        """Ends the app and what it started."""
        for job in read_jobs(Workspace.open(self.workspace)):
            if job.runs:
                psutil.Process(job.pid).kill()
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait()
