"""One timed run of an entry: a process that reads pictures, trains, and draws a thousand new ones."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from benchmarks.speedrun.tasks import Track
from unnoise.utils.errors import require

_LAST_LINES = 20
_MOST_WORK = 1.05
"""Seconds of its processor cores that an entry may use, for each second and core that it has."""


class Entry(NamedTuple):
    """A program as it was when it was read: what runs is what a record keeps."""

    name: str
    program: bytes

    @classmethod
    def read(cls, path: Path) -> "Entry":
        """The entry in this file."""
        require(path.is_file(), f"There is no entry {path}. Choose a file in benchmarks/speedrun/entries.")
        return cls(path.name, path.read_bytes())


class Lap(NamedTuple):
    """Seconds from the start of an entry's process to its end, and the file of pictures that it wrote."""

    seconds: float
    drawn: Path


def command_of(program: Path, data: Path, seed: int, out: Path) -> list[str]:
    """The command of a program: a Python file by this Python, any other file by itself."""
    started = [sys.executable, str(program)] if program.suffix == ".py" else [str(program)]
    return [*started, str(data), str(seed), str(out)]


def lap(entry: Entry, data: Path, seed: int, work: Path, track: Track) -> Lap:
    """Runs an entry as `ENTRY DATA.npz SEED PICTURES.npy`, and keeps what it prints in a log.

    It runs alone in a new folder with a copy of the pictures, which is its home, too: it finds nothing that
    another run has kept.

    Raises:
        UnnoiseError: when it fails, where the message ends with the last lines of its log, or uses more cores
            than it has.
    """
    work.mkdir(parents=True, exist_ok=True)
    out, log = (work / f"{seed}.npy").resolve(), work / f"{seed}.log"
    out.unlink(missing_ok=True)
    with log.open("w", encoding="utf-8") as file, tempfile.TemporaryDirectory() as place:
        home = Path(place)
        program = home / entry.name
        program.write_bytes(entry.program)
        program.chmod(0o755)
        given, made = home / data.name, home / out.name
        shutil.copyfile(data, given)
        command = [*track.prefix(), *command_of(program, given, seed, made)]
        used, started = _processor_seconds(), time.perf_counter()
        done = subprocess.run(  # noqa: S603 (the entry that was asked for)
            command, stdout=file, stderr=subprocess.STDOUT, env=track.environment(home), cwd=home, check=False
        )
        seconds, used = time.perf_counter() - started, _processor_seconds() - used
        if made.is_file():
            shutil.copyfile(made, out)
    log.write_bytes(log.read_bytes().replace(str(home).encode(), b"HOME"))
    last = "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-_LAST_LINES:])
    ended = f"{entry.name} ended with exit code {done.returncode}. Its last lines:\n{last}"
    require(done.returncode == 0, ended)
    require(
        not track.cores or used <= _MOST_WORK * track.cores * seconds,
        f"{entry.name} used {used / seconds:.2f} cores, and the track {track.name} has {track.cores}.",
    )
    return Lap(seconds, out)


def _processor_seconds() -> float:
    """Seconds that the processor has worked for processes that this one has started and that have ended."""
    times = os.times()
    return times.children_user + times.children_system
