"""One timed run of an entry: a process that reads pictures, trains, and draws a thousand new ones."""

import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

from benchmarks.speedrun.tasks import Track
from unnoise.utils.errors import require

_LAST_LINES = 20


class Lap(NamedTuple):
    """Seconds from the start of an entry's process to its end, and the file of pictures that it wrote."""

    seconds: float
    drawn: Path


def command_of(entry: Path, data: Path, seed: int, out: Path) -> list[str]:
    """The command of an entry: a Python file by this Python, any other file as a program."""
    program = [sys.executable, str(entry)] if entry.suffix == ".py" else [str(entry.resolve())]
    return [*program, str(data), str(seed), str(out)]


def lap(entry: Path, data: Path, seed: int, work: Path, track: Track) -> Lap:
    """Runs an entry as `ENTRY DATA.npz SEED PICTURES.npy`, and keeps what it prints in a log.

    Raises:
        UnnoiseError: when it fails; the message ends with the last lines of its log.
    """
    work.mkdir(parents=True, exist_ok=True)
    out, log = (work / f"{seed}.npy").resolve(), work / f"{seed}.log"
    out.unlink(missing_ok=True)
    command = [*track.prefix(), *command_of(entry, data.resolve(), seed, out)]
    with log.open("w", encoding="utf-8") as file:
        started = time.perf_counter()
        done = subprocess.run(  # noqa: S603 (the entry that was asked for)
            command, stdout=file, stderr=subprocess.STDOUT, env=track.environment(), check=False
        )
        seconds = time.perf_counter() - started
    last = "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-_LAST_LINES:])
    require(done.returncode == 0, f"{entry} ended with exit code {done.returncode}. Its last lines:\n{last}")
    return Lap(seconds, out)
