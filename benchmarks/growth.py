"""What training costs as one thing grows: the pictures, the batch, the network, or how many pictures there are.

    python -m benchmarks.growth [--quick] [--device auto] [--precision bfloat16]

Whole steps of the default preset, in turns over all sizes (A B C A B C), so that a busy moment meets all; the
medians of the turns count. Batches are taken from one file of random pictures, which is removed afterwards, by
a process of its own for each number. What is measured replaces this machine's rows in docs/growth.csv, and
docs/growth.md and docs/growth.png are drawn from all rows.
"""

import argparse
import math
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import NamedTuple

import numpy as np
import torch

from benchmarks.children import told_by
from benchmarks.growth_page import PICTURES, Row, draw, page
from benchmarks.reports import asking, folder_for, measured, processor, tell
from unnoise.cli.console import Bar, count, result
from unnoise.diffusion.diffusion import Diffusion
from unnoise.diffusion.normalizer import Normalizer
from unnoise.networks import UNetConfig
from unnoise.pictures import save_png
from unnoise.pictures.charts import painted
from unnoise.runs.config import DataConfig, Recipe, RunConfig
from unnoise.runs.presets import recipe
from unnoise.training.loop import choose_device
from unnoise.utils.roofline import flops
from unnoise.utils.tables import read_table, write_table

SIDE, BATCH = 32, 64
"""Of what does not grow."""

SIDES = (16, 24, 32, 48, 64, 96, 128)
BATCHES = (8, 16, 32, 64, 128, 256)
BASES = (16, 24, 32, 48, 64, 96, 128)
COUNTS = (1_000, 10_000, 100_000, 1_000_000)
COUNTED_SIDE = 16
"""Of the pictures of which there are more and more."""

_SHORTEST = 0.2
"""Seconds: shorter steps are taken several times a turn, so that the clock can tell."""

_CHUNK = 10_000


class Case(NamedTuple):
    """A step that can be timed: what it grows with, how far, and how many pictures it takes."""

    size: int
    step: Callable[[], object]
    images: int


def widened(chosen: Recipe, base: int) -> Recipe:
    """The same recipe with a network whose first level is `base` wide, and the others as much wider."""
    network = chosen.network
    assert isinstance(network, UNetConfig)
    widths = tuple(base * width // network.widths[0] for width in network.widths)
    return replace(chosen, network=replace(network, widths=widths))


def build(chosen: Recipe, side: int, device: torch.device, precision: str) -> Diffusion:
    """What trains by this recipe, on grey pictures of this side."""
    data = DataConfig(source="noise", height=side, width=side, channels=1)
    config = RunConfig(data=data, normalizer=Normalizer.symmetric(1), recipe=chosen, precision=precision)  # type: ignore[arg-type]
    return config.build(device)


def case(size: int, diffusion: Diffusion, batch: int) -> Case:
    """Whole training steps on a batch of noise; a step is over when its loss is known."""
    images = torch.randint(0, 256, (batch, *diffusion.image_shape), dtype=torch.uint8)
    return Case(size, lambda: float(diffusion.train_step(images).loss), batch)


def sweeps(sizes: Mapping[str, tuple[int, ...]], device: torch.device, precision: str) -> dict[str, list[Case]]:
    """The cases of what grows in a step, by what it is."""
    make = partial(build, device=device, precision=precision)
    usual = recipe("default", 1, SIDE, SIDE)
    return {
        "resolution": [
            case(side, make(recipe("default", 1, side, side), side), BATCH) for side in sizes["resolution"]
        ],
        "batch": [case(batch, make(usual, SIDE), batch) for batch in sizes["batch"]],
        "width": [case(base, make(widened(usual, base), SIDE), BATCH) for base in sizes["width"]],
    }


def rates(name: str, cases: list[Case], turns: int) -> list[tuple[Case, float, float]]:
    """Each case with its images a second, the median of the turns, and the GFLOP of an image."""
    work, calls, taken = [], [], [[] for _ in cases]  # type: ignore[var-annotated]
    with Bar(f"Growing: {name}", len(cases) * (turns + 1)) as shown:
        for one in cases:
            one.step()  # the first plans and makes room
            work.append(flops(one.step) / one.images / 1e9)
            calls.append(math.ceil(_SHORTEST / _seconds(one.step, 1)))
            shown.advance(1)
        for _ in range(turns):
            for one, count, rate in zip(cases, calls, taken, strict=True):
                rate.append(one.images / _seconds(one.step, count))
                shown.advance(1)
    return list(zip(cases, map(median, taken), work, strict=True))


def _seconds(step: Callable[[], object], calls: int) -> float:
    started = time.perf_counter()
    for _ in range(calls):
        step()
    return (time.perf_counter() - started) / calls


def random_pictures(path: Path, count: int) -> None:
    """A .npy of so many small pictures of noise, written piece by piece."""
    shape = (count, COUNTED_SIDE, COUNTED_SIDE, 1)
    array = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=shape)
    numbers = np.random.default_rng(0)
    for first in range(0, count, _CHUNK):
        piece = array[first : first + _CHUNK]
        piece[:] = numbers.integers(0, 256, piece.shape, np.uint8)
    array.flush()


def rounded(number: float) -> float:
    """To the digits that mean something."""
    return float(f"{number:.4g}")


def pictures(counts: tuple[int, ...], seconds: float, common: Callable[..., Row]) -> list[Row]:
    """What batches of so many pictures cost; the second process for a number finds them in the cache."""
    rows = []
    with (
        tempfile.TemporaryDirectory() as place,
        Bar("Growing: pictures", sum(count + 100_000 for count in counts)) as shown,
    ):
        for count in counts:
            path = Path(place) / f"{count}.npy"
            random_pictures(path, count)
            ask = partial(told_by, "benchmarks.growing_pictures", path)
            cached = {"UNNOISE_CACHE": f"{place}/cache"}
            new, known = ask(0.1, settings=cached), ask(seconds, settings=cached)
            path.unlink()
            numbers = {
                "images_per_second": 64 * known["batches"],
                "first_batch_new": new["first_batch"],
                "first_batch": known["first_batch"],
                "peak": max(new["peak"], known["peak"]),
            }
            rows.append(common(PICTURES, count, {name: rounded(each) for name, each in numbers.items()}))
            shown.advance(count + 100_000)
    return rows


def measure(asked: argparse.Namespace, device: torch.device, options: str) -> list[Row]:
    """All rows of this machine."""
    card = torch.cuda.get_device_name(device) if device.type == "cuda" else f"{processor()}, CPU"
    machine = f"{card}, {count(asked.threads, 'thread')}, {asked.precision}"
    command, date = f"python -m benchmarks.growth {options}", measured(device)

    def common(grown: str, size: int, numbers: dict[str, float]) -> Row:
        row = Row(machine, grown, size, numbers["images_per_second"], command, date)
        return row._replace(**numbers)  # type: ignore[arg-type]

    turns, seconds = (1, 0.5) if asked.quick else (5, 5.0)
    kept = 2 if asked.quick else 100
    sizes = {
        name: each[:kept]
        for name, each in {"resolution": SIDES, "batch": BATCHES, "width": BASES, PICTURES: COUNTS}.items()
    }
    rows = []
    for name, cases in sweeps(sizes, device, asked.precision).items():
        for one, rate, work in rates(name, cases, turns):
            numbers = {"images_per_second": rounded(rate), "gflop_per_image": rounded(work)}
            rows.append(common(name, one.size, numbers))
    return rows + pictures(sizes[PICTURES], seconds, common)


def merged(old: list[Row], new: list[Row]) -> list[Row]:
    """The rows of all machines, with the new ones in place of those that their machines had."""
    again = {row.machine for row in new}
    return sorted([row for row in old if row.machine not in again] + new, key=lambda row: row.machine)


def main() -> None:
    """Measures, prints the page of all machines, and writes it with its picture and its rows."""
    parser = asking(__doc__)
    parser.add_argument("--device", default="cpu", help="auto, cpu, cuda, cuda:1 or mps")
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="float32")
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    torch.manual_seed(0)
    device = choose_device(asked.device)
    options = f"--device {asked.device} --precision {asked.precision} --threads {asked.threads}"
    rows, folder = measure(asked, device, options), folder_for(asked)
    if folder is not None:
        rows = merged(read_table(folder / "growth.csv", Row), rows)
        write_table(folder / "growth.csv", Row, rows)
        save_png(painted(partial(draw, rows), (7.0, 5.2)).quantize(64), folder / "growth.png")
        result("rows", folder / "growth.csv")
    tell("growth", page(rows), folder)


if __name__ == "__main__":
    main()
