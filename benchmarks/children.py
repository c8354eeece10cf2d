"""A fresh process measures what an older one would blur: its own peak of memory, and its own start.

The peak that the system counts for a process is that of its parent as well, where that was larger when it
started it. What `VmHWM` says is the process's own, and where a process can't be asked, a small one starts it.
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

_LEAN = """
import resource, subprocess, sys
silent = subprocess.DEVNULL
code = subprocess.run(sys.argv[1:], stdin=silent, stdout=silent, stderr=silent).returncode
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(code)
"""
"""Starts a command, and prints the peak of it: it has no memory to speak of itself."""

_UNIT = 2**20 if sys.platform == "darwin" else 2**10
"""How many of what `ru_maxrss` counts make a MB: macOS counts bytes, Linux KiB."""


def own_peak() -> float:
    """The most MB of memory that this process has had at once, as long as it has lived."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    except OSError:
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / _UNIT
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 2**10


def peak_of(arguments: Sequence[str]) -> float:
    """The most MB that a command's process had at once; what it says is not shown.

    Raises:
        RuntimeError: when the command fails.
    """
    lean = [sys.executable, "-S", "-c", _LEAN, *arguments]
    done = subprocess.run(lean, capture_output=True, text=True, check=False)  # noqa: S603 (our own command)
    if done.returncode:
        raise RuntimeError(f"{' '.join(arguments)} ended with {done.returncode}.")
    return int(done.stdout) / _UNIT


def told_by(module: str, *arguments: object, settings: Mapping[str, str] | None = None) -> dict[str, float]:
    """The numbers that a module says, as JSON in its last line, when it is run in a process of its own.

    Args:
        module: as after `python -m`.
        arguments: of it.
        settings: of the environment, beside what is there.

    Raises:
        RuntimeError: with the last line of its complaint, when it fails.
    """
    command = [sys.executable, "-W", "ignore", "-m", module, *map(str, arguments)]
    environment = {**os.environ, **(settings or {})}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)  # noqa: S603
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["nothing"])[-1]
        raise RuntimeError(f"{module} ended with {done.returncode}: {reason}")
    told: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return told
