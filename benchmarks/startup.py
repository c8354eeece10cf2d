"""A command is there when it is called: how long it takes beside Python itself, and beside `import torch`.

    python -m benchmarks.startup [--quick] [--source digits]

Each command runs in a fresh process, in turns (A B C A B C), so that a busy moment meets all; the medians of
the turns count, and the first turn, which may have to compile and to decode, does not. Training ends where its
first step is done. Writes docs/startup.md.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import NamedTuple

import torch

from benchmarks.first_step import DONE
from benchmarks.reports import asking, folder_for, made, table, tell
from unnoise.cli.console import Bar

PYTHON, TORCH = '`python -c "pass"`', '`python -c "import torch"`'
OURS = [sys.executable, "-m", "unnoise"]


class Command(NamedTuple):
    """What is called, and the code that it ends with."""

    arguments: list[str]
    code: int = 0


def commands(source: str, device: str, run: Path) -> dict[str, Command]:
    """All that are compared, by what a reader calls them; `run` is a folder that is not there yet."""
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
    """From the call to the end of the process.

    Raises:
        RuntimeError: when it ends with another code.
    """
    environment = {**os.environ, "UNNOISE_CACHE": str(cache)}
    started = time.perf_counter()
    done = subprocess.run(command.arguments, capture_output=True, text=True, check=False, env=environment)  # noqa: S603
    took = time.perf_counter() - started
    if done.returncode != command.code:
        said = (done.stderr.strip().splitlines() or ["nothing"])[-1]
        raise RuntimeError(f"{' '.join(command.arguments)} ended with {done.returncode}: {said}")
    return took


def measure(asked: Callable[[Path], Mapping[str, Command]], turns: int) -> dict[str, list[float]]:
    """The seconds of each command in every turn but the first; each turn has a folder of its own for a run."""
    taken: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as place, Bar("Starting", turns + 1) as shown:
        for turn in range(turns + 1):
            for name, command in asked(Path(place) / f"run-{turn}").items():
                took = seconds(command, Path(place) / "cache")
                taken.setdefault(name, []).extend([took] if turn else [])
            shown.advance(1)
    return taken


def page(taken: Mapping[str, Sequence[float]]) -> list[str]:
    """The paragraphs of docs/startup.md, but for how it was made."""
    middle = {name: median(each) for name, each in taken.items()}
    bare, torched = middle[PYTHON], middle[TORCH]
    told = [f"{name} takes {middle[name]:.2f} s" for name in middle if name not in {PYTHON, TORCH}]
    rows = [
        [
            name,
            f"{middle[name]:.3f}",
            f"{min(each):.3f}",
            f"{middle[name] - bare:.3f}",
            f"{middle[name] / torched:.2f}",
        ]
        for name, each in taken.items()
    ]
    return [
        "# How long commands take to start",
        f"{', '.join(told[:-1])}, and {told[-1]}; Python itself takes {bare:.2f} s to start, and "
        f"{torched:.2f} s with PyTorch.",
        "Seconds from the call of a fresh process to its end; that of training ends where its first step is "
        "done. The pictures are in the cache, and the compiled modules beside their sources.",
        table(["command", "median", "fastest", "beyond Python", "parts of `import torch`"], rows),
    ]


def main() -> None:
    """Measures, prints the page, and writes it."""
    parser = asking(__doc__)
    parser.add_argument("--source", default="digits", help="pictures for the first step (default: digits)")
    parser.add_argument("--device", default="cpu", help="of the first step: auto, cpu, cuda, cuda:1 or mps")
    asked = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = str(asked.threads)
    torch.set_num_threads(asked.threads)
    turns, docs = 1 if asked.quick else 15, folder_for(asked)
    taken = measure(partial(commands, asked.source, asked.device), turns)
    options = f"--source {asked.source} --device {asked.device} --threads {asked.threads}"
    facts = made("startup", options, f"Medians of {turns} turns.")
    tell("startup", [*page(taken), *facts], docs)


if __name__ == "__main__":
    main()
