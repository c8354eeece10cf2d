"""Measurements in a fresh process: its own peak of memory, and the numbers that a function returns there.

The system counts the peak memory of a process from that of its parent, if that was larger when it started the
process. `VmHWM` is the process's own peak; where a process cannot read it, a small process starts it.
"""

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

_SMALL_PARENT = """
import resource, subprocess, sys
silent = subprocess.DEVNULL
code = subprocess.run(sys.argv[1:], stdin=silent, stdout=silent, stderr=silent).returncode
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(code)
"""
"""Starts a command and prints its peak; it needs hardly any memory itself."""

_UNITS_PER_MB = 2**20 if sys.platform == "darwin" else 2**10
"""`ru_maxrss` counts bytes on macOS and KiB on Linux."""


def own_peak() -> float:
    """Peak memory of this process since it started, in MB."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    except OSError:
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / _UNITS_PER_MB
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 2**10


def peak_of(command: Sequence[str]) -> float:
    """Peak memory of a command's process, in MB; its output is not shown.

    Raises:
        RuntimeError: when the command fails.
    """
    starter = [sys.executable, "-S", "-c", _SMALL_PARENT, *command]
    done = subprocess.run(starter, capture_output=True, text=True, check=False)  # noqa: S603 (our own command)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed with exit code {done.returncode}.")
    return int(done.stdout) / _UNITS_PER_MB


def in_fresh_process(
    function: str, *arguments: str | float, settings: Mapping[str, str] | None = None
) -> dict[str, float]:
    """The numbers that a function returns when it is called in a new process.

    Args:
        function: such as `benchmarks.memory:train`.
        arguments: of it.
        settings: environment variables, beside those of this process.

    Raises:
        RuntimeError: with the last line of its error message, when it fails.
    """
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.processes", function, json.dumps(arguments)]
    environment = {**os.environ, **(settings or {})}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)  # noqa: S603
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise RuntimeError(f"{function} failed with exit code {done.returncode}: {reason}")
    numbers: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return numbers


def main() -> None:
    """Calls the function that the command line names, and prints its numbers as JSON."""
    name, arguments = sys.argv[1:]
    module, _, function = name.partition(":")
    print(json.dumps(getattr(importlib.import_module(module), function)(*json.loads(arguments))))


if __name__ == "__main__":
    main()
