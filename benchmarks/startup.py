"""Start-up time of commands, beside Python itself and `import torch`.

    python -m benchmarks.startup [--quick] [--source digits]

Each command runs in a fresh process, in turns. The first turn, which may have to compile and to decode, does
not count. Training ends after its first step.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import NamedTuple

import torch

from benchmarks.first_step import DONE
from benchmarks.report import MADE, folder_for, made, option_parser, publish, table
from benchmarks.turns import in_turns

PYTHON, TORCH = '`python -c "pass"`', '`python -c "import torch"`'
OURS = [sys.executable, "-m", "unnoise"]


class Command(NamedTuple):
    """A command, and the exit code that it must end with."""

    arguments: list[str]
    code: int = 0


def commands(source: str, device: str, run: Path) -> dict[str, Command]:
    """The commands that are compared, by name; `run` is a folder that does not exist yet."""
    trained = ["train", source, "--out", str(run), "--device", device]
    first_step = [sys.executable, "-m", "benchmarks.first_step", *trained]
    return {
        PYTHON: Command([sys.executable, "-c", "pass"]),
        TORCH: Command([sys.executable, "-c", "import torch"]),
        "`unnoise --help`": Command([*OURS, "--help"]),
        "`unnoise train --help`": Command([*OURS, "train", "--help"]),
        f"`unnoise train {source}` to its first step": Command(first_step, DONE),
    }


def seconds(command: Command, cache: Path) -> float:
    """Seconds from the call to the end of the process.

    Raises:
        RuntimeError: when it ends with another exit code.
    """
    environment = {**os.environ, "UNNOISE_CACHE": str(cache)}
    started = time.perf_counter()
    done = subprocess.run(command.arguments, capture_output=True, text=True, check=False, env=environment)  # noqa: S603
    took = time.perf_counter() - started
    if done.returncode != command.code:
        message = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise RuntimeError(f"{' '.join(command.arguments)} ended with {done.returncode}: {message}")
    return took


def measure(source: str, device: str, turns: int) -> dict[str, list[float]]:
    """Seconds of each command in every turn; each training gets a new folder for its run."""
    with tempfile.TemporaryDirectory() as place:

        def run(name: str) -> float:
            folder = Path(tempfile.mkdtemp(dir=place)) / "run"
            return seconds(commands(source, device, folder)[name], Path(place) / "cache")

        names = commands(source, device, Path(place))
        return in_turns({name: partial(run, name) for name in names}, turns, "Starting")


def time_table(taken: Mapping[str, Sequence[float]]) -> str:
    """A row for each command."""
    middle = {name: median(each) for name, each in taken.items()}
    rows = [
        [
            name,
            f"{middle[name]:.3f}",
            f"{min(each):.3f}",
            f"{middle[name] - middle[PYTHON]:.3f}",
            f"{middle[name] / middle[TORCH]:.2f}",
        ]
        for name, each in taken.items()
    ]
    return table(["command", "median, s", "fastest, s", "beyond Python, s", "times `import torch`"], rows)


def main() -> None:
    """Measures, and writes the table."""
    parser = option_parser(__doc__)
    parser.add_argument("--source", default="digits", help="pictures for the first step (default: digits)")
    parser.add_argument("--device", default="cpu", help="of the first step: auto, cpu, cuda, cuda:1 or mps")
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = str(options.threads)
    torch.set_num_threads(options.threads)
    turns = 1 if options.quick else 15
    taken = measure(options.source, options.device, turns)
    command = f"--source {options.source} --device {options.device} --threads {options.threads}"
    blocks = {MADE: made("startup", command, f"Medians of {turns} turns."), "seconds": time_table(taken)}
    publish("startup", __doc__, blocks, folder_for(options))


if __name__ == "__main__":
    main()
