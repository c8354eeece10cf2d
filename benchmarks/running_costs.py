"""What a run costs beside its steps: guards, checkpoints, averages and looks in time, and its data in memory.

    python -m benchmarks.running_costs [--quick]

Steps with and without what is measured follow one another in turns (A B A B), so that a busy moment meets both;
the medians of the turns count. Memory is the peak resident set of whole processes, as the system counts it.
Writes docs/running_costs.md.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import nn

from benchmarks.children import peak_of
from benchmarks.reports import machine, publish, table
from unnoise.batches import Batches, split
from unnoise.checkpoint import Progress, Run
from unnoise.cli.console import Bar, result
from unnoise.config import Budget
from unnoise.data import ImageSet, load
from unnoise.diffusion import Diffusion
from unnoise.guards import Guards
from unnoise.looking import SAMPLE_SEEDS, draw_samples
from unnoise.plan import Wishes, plan
from unnoise.recording import Recorder
from unnoise.training import steps

SHORTEST, PART_SAVING, PART_ALL = 20.0, 50.0, 20.0
"""Of recording: seconds between saves, and how many times as long as a save, and as all of it, they are."""


class Costs(NamedTuple):
    """Seconds of a step, as it is, without guards, and without averages; of a save, a look and its guard."""

    step: float
    unguarded: float
    unaveraged: float
    save: float
    look: float
    guard: float

    @property
    def interval(self) -> float:
        """Seconds between two saves."""
        return max(SHORTEST, PART_SAVING * self.save, PART_ALL * (self.save + self.look))

    @property
    def rows(self) -> list[tuple[str, float, str]]:
        """What each costs, as a part of the training time."""
        each = f"every {self.interval:.0f} s"
        return [
            ("guards of a step", self.step / self.unguarded - 1, f"{self.step * 1e3:.1f} ms a step"),
            ("guards of samples", self.guard / self.interval, f"{self.guard * 1e3:.1f} ms {each}"),
            ("checkpoints", self.save / self.interval, f"{self.save * 1e3:.0f} ms {each}"),
            ("averages (EMA and two profiles)", self.step / self.unaveraged - 1, "in each step"),
            ("held-out loss and sample sheet", self.look / self.interval, f"{self.look * 1e3:.0f} ms {each}"),
        ]


class Bare:
    """What stands in the place of the shield where nothing is guarded: clipping, which is the recipe's."""

    def __init__(self, diffusion: Diffusion) -> None:
        self._parameters = list(diffusion.network.parameters())

    def keep(self) -> None:
        """Nothing."""

    def gradient_norm(self, _loss: torch.Tensor, longest: float | None) -> torch.Tensor:
        """The norm, where it is needed to clip."""
        return torch.zeros(()) if longest is None else nn.utils.clip_grad_norm_(self._parameters, longest)

    def passes(self, _norm: torch.Tensor) -> bool:
        """Always."""
        return True


@contextmanager
def without(diffusion: Diffusion, what: str) -> Iterator[None]:
    """A diffusion that lacks its guards, its averages, or nothing."""
    shield, average, profiles = diffusion.shield, diffusion.average.update, diffusion.profiles.update
    if what == "guards":
        diffusion.shield = Bare(diffusion)  # type: ignore[assignment]
    if what == "averages":
        diffusion.average.update = diffusion.profiles.update = lambda: None  # type: ignore[method-assign]
    try:
        yield
    finally:
        diffusion.shield = shield
        diffusion.average.update, diffusion.profiles.update = average, profiles  # type: ignore[method-assign]


def costs(folder: Path, images: ImageSet, count: int, turns: int, clock: Callable[[], float]) -> Costs:
    """Of the default preset on these pictures; `count` steps in a turn."""
    config = plan(images, Wishes(preset="nano", budget=Budget(unit="steps", amount=1e6)))
    run, diffusion = Run.create(folder, config), config.build()
    parts = split(len(images), config.data.held_out, config.seed)
    stream = steps(diffusion, Batches(images, parts.training, 64, 0), config.budget)
    taken: dict[str, list[float]] = {"nothing": [], "guards": [], "averages": []}
    with Bar("Steps", turns + 1) as shown:
        for turn in range(turns + 1):
            for what, times in taken.items():
                with without(diffusion, what):
                    started = clock()
                    for _ in range(count):
                        next(stream)
                    if turn:
                        times.append((clock() - started) / count)
            shown.advance(1)
    held_out = [(images.take(parts.held_out[:64]), None)]
    recorder = Recorder(run, diffusion, held_out, Progress())
    guards, progress = Guards(run, images, parts.training), Progress(1, 64, 1.0)
    samples = draw_samples(diffusion, config, range(len(SAMPLE_SEEDS)))

    def look() -> None:
        recorder.look()
        recorder.write()

    actions = (recorder.save, look, lambda: guards.drawn(samples, progress, name="sheet"))
    others = [timed(action, 5, clock) for action in actions]
    return Costs(*(median(times) for times in taken.values()), *others)


def timed(action: Callable[[], object], turns: int, clock: Callable[[], float]) -> float:
    """The median seconds of some calls, after one that is not counted."""
    seconds = []
    for turn in range(turns + 1):
        started = clock()
        action()
        if turn:
            seconds.append(clock() - started)
    return median(seconds)


def folder_of_pictures(folder: Path, count: int, side: int = 64) -> Path:
    """Writes so many small pictures: pieces of smooth noise, each another."""
    numbers = np.random.default_rng(0)
    coarse = Image.fromarray(numbers.integers(0, 256, (256, 256, 3), np.uint8)).resize((2048, 2048))
    whole = np.asarray(coarse)
    with Bar("Writing pictures", count) as shown:
        for number in range(count):
            path = folder / f"{number // 1000:03d}" / f"{number:06d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            top, left = numbers.integers(0, 2048 - side, 2)
            Image.fromarray(whole[top : top + side, left : left + side]).save(path, compress_level=1)
            shown.advance(1)
    return folder


def peak(folder: Path, out: Path, count: int) -> float:
    """MB that a process holds at most which trains a tiny network on these pictures for so many steps."""
    small = ["network.widths=[8,16]", 'network.attention=["none","none"]', "network.block_depth=1"]
    options = ["--steps", str(count), "--device", "cpu", "--out", str(out), "--set", *small]
    arguments = [sys.executable, "-m", "unnoise", "train", str(folder), *options]
    return peak_of(arguments)


def memory(folder: Path, counts: tuple[int, int], steps_each: int) -> list[list[str]]:
    """Peaks of the first training, which fills the cache, and of a second, for few pictures and for many."""
    rows = []
    for count in counts:
        pictures = folder_of_pictures(folder / f"pictures-{count}", count)
        first = peak(pictures, folder / f"first-{count}", 20)
        second = peak(pictures, folder / f"second-{count}", steps_each)
        rows.append([f"{count:,}", f"{first:.0f}", f"{second:.0f}"])
    grown = [float(many) / float(few) - 1 for few, many in zip(rows[0][1:], rows[1][1:], strict=True)]
    return [*rows, ["growth", *(f"{part:+.1%}" for part in grown)]]


def main() -> None:
    """Measures, prints the page, and writes it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few pictures and steps, to see that it works")
    parser.add_argument(
        "--source", default="fashion-mnist", help="pictures for the steps (default: fashion-mnist)"
    )
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--docs", type=Path, default=Path("docs"), help="the folder to write to")
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    count, turns, counts, length = (2, 2, (50, 500), 20) if asked.quick else (10, 15, (1000, 100_000), 1000)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        found = costs(folder / "run", load(asked.source), count, turns, time.perf_counter)
        os.environ["UNNOISE_CACHE"] = str(folder / "cache")
        peaks = memory(folder, counts, length)
    rows = found.rows
    guarded, all_of_it = sum(part for _, part, _ in rows[:3]), sum(part for _, part, _ in rows)
    quick = " --quick" if asked.quick else ""
    paragraphs = [
        "# What a run costs beside its steps",
        f"Guards and checkpoints take {guarded:.1%} of the time of training, and all that is below "
        f"{all_of_it:.1%}, at the default intervals (the default preset on {asked.source}, batch 64). Asking "
        "how good samples are takes another twentieth at most, which it waits for.",
        table(["", "of the time", "that is"], [[n, f"{part:+.2%}", told] for n, part, told in rows], (0, 2)),
        "A data set is mapped into memory, and its pages are let go before they add up. Peak resident set, in "
        f"MB, of `unnoise train` with a tiny network, {length:,} steps of 64 on pictures of 64 x 64 in colour:",
        table(["pictures", "when they are decoded, 20 steps", "when they are in the cache"], peaks),
        f"```sh\npython -m benchmarks.running_costs{quick} --threads {asked.threads}\n```",
        f"{turns} turns of {count} steps. Measured on {datetime.now(UTC):%Y-%m-%d} on: {machine()}.",
    ]
    print("\n\n".join(paragraphs))
    publish(asked.docs / "running_costs.md", *paragraphs)
    result("page", asked.docs / "running_costs.md")


if __name__ == "__main__":
    main()
