"""Cost of training as pictures, batch, network or data set grow.

    python -m benchmarks.growth [--quick] [--device auto] [--precision bfloat16]

Whole training steps of the default preset (for resolutions, of `small` with its width) in turns over all sizes,
and batches from one file of random pictures, which a fresh process opens for each number of them. The rows of
this machine in docs/growth.csv are replaced; tables and plot are made from the rows of all machines.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import NamedTuple

import torch

from benchmarks.growth_report import PICTURES, Row, draw, tables
from benchmarks.processes import in_fresh_process, own_peak
from benchmarks.random_pictures import npy_file
from benchmarks.report import folder_for, measured, option_parser, processor, publish
from benchmarks.turns import calls_within, in_turns, medians, timed
from unnoise.api.reporting import count, progress_bar, tell_result
from unnoise.data import load
from unnoise.data.batches import Batches, held_out_count, split
from unnoise.diffusion.diffusion import Diffusion
from unnoise.diffusion.normalizer import Normalizer
from unnoise.networks import UNetConfig
from unnoise.pictures import save_png
from unnoise.pictures.charts import painted
from unnoise.runs.config import RunConfig
from unnoise.runs.data_config import DataConfig
from unnoise.runs.presets import recipe
from unnoise.runs.recipe import Recipe
from unnoise.trainer.loop import choose_device
from unnoise.utils.device_speed import count_flops
from unnoise.utils.tables import read_table, write_table

SIDE, BATCH = 32, 64
"""Of pictures and batches where they do not grow themselves."""

SIDES = (16, 24, 32, 48, 64, 96, 128)
BATCHES = (8, 16, 32, 64, 128, 256)
BASES = (16, 24, 32, 48, 64, 96, 128)
COUNTS = (1_000, 10_000, 100_000, 1_000_000)
COUNTED_SIDE = 16
"""Side of the pictures whose number grows."""

_SHORTEST = 0.2
"""Seconds: shorter steps are repeated within a turn, so that the clock can measure them."""


class Case(NamedTuple):
    """A step that can be timed: the size that grows, and the images of a step."""

    size: int
    step: Callable[[], object]
    images: int


def widened(chosen: Recipe, base: int) -> Recipe:
    """The same recipe with a network whose first level is `base` wide, and the others in proportion."""
    network = chosen.network
    assert isinstance(network, UNetConfig)
    widths = tuple(base * width // network.widths[0] for width in network.widths)
    return replace(chosen, network=replace(network, widths=widths))


def resolved(side: int) -> Recipe:
    """The recipe of growing pictures: `small`, with patches of 2 x 2 up to 64 pixels, as narrow as `nano`."""
    return widened(recipe("small", 1, side, side), 48)


def build(chosen: Recipe, side: int, device: torch.device, precision: str) -> Diffusion:
    """The diffusion of this recipe, for grey pictures of this side."""
    data = DataConfig(source="noise", height=side, width=side, channels=1)
    config = RunConfig(data=data, normalizer=Normalizer.symmetric(1), recipe=chosen, precision=precision)  # type: ignore[arg-type]
    return config.build(device)


def case(size: int, diffusion: Diffusion, batch: int) -> Case:
    """Whole training steps on a batch of noise; a step ends when its loss is known."""
    images = torch.randint(0, 256, (batch, *diffusion.ema.image_shape), dtype=torch.uint8)
    return Case(size, lambda: float(diffusion.train_step(images).loss), batch)


def step_cases(
    sizes: Mapping[str, tuple[int, ...]], device: torch.device, precision: str
) -> dict[str, list[Case]]:
    """The cases of what grows in a step, by quantity."""
    make = partial(build, device=device, precision=precision)
    usual = recipe("default", 1, SIDE, SIDE)
    return {
        "resolution": [case(side, make(resolved(side), side), BATCH) for side in sizes["resolution"]],
        "batch": [case(batch, make(usual, SIDE), batch) for batch in sizes["batch"]],
        "width": [case(base, make(widened(usual, base), SIDE), BATCH) for base in sizes["width"]],
    }


def rates(
    name: str, cases: list[Case], turns: int, shortest: float = _SHORTEST
) -> list[tuple[Case, float, float]]:
    """Each case with its images a second, the median of the turns, and the GFLOP of an image."""
    work, runs = {}, {}
    for one in cases:
        one.step()  # the first step plans and allocates
        work[one.size] = count_flops(one.step) / one.images / 1e9
        runs[str(one.size)] = partial(timed, one.step, calls_within(one.step, shortest))
    seconds = medians(in_turns(runs, turns, f"Growing: {name}", warmup=0))
    return [(one, one.images / seconds[str(one.size)], work[one.size]) for one in cases]


def load_batches(source: str, seconds: float) -> dict[str, float]:
    """Seconds to the first batch of a file, batches a second, and MB of memory beyond the imports."""
    imported, started, turns = own_peak(), time.perf_counter(), 5
    images = load(source)
    training = split(len(images), held_out_count(len(images)), 0).training
    batches = Batches(images, training, BATCH, 0)
    batches[0]
    first = time.perf_counter() - started
    found, number = [], 1
    for _ in range(turns):
        begun, before = time.perf_counter(), number
        while time.perf_counter() - begun < seconds / turns:
            batches[number]
            number += 1
        found.append((number - before) / (time.perf_counter() - begun))
    return {"first_batch": first, "batches": median(found), "peak": own_peak() - imported}


def rounded(number: float) -> float:
    """To four significant digits."""
    return float(f"{number:.4g}")


def loading(counts: tuple[int, ...], seconds: float, new_row: Callable[..., Row]) -> list[Row]:
    """Rows of loading so many pictures; the second process finds them in the cache."""
    rows = []
    with (
        tempfile.TemporaryDirectory() as folder,
        progress_bar("Growing: pictures", sum(number + 100_000 for number in counts)) as bar,
    ):
        for number in counts:
            path = Path(folder) / f"{number}.npy"
            npy_file(path, number, COUNTED_SIDE)
            measure_file = partial(in_fresh_process, "benchmarks.growth:load_batches", str(path))
            cache = {"UNNOISE_CACHE": f"{folder}/cache"}
            new, known = measure_file(0.1, settings=cache), measure_file(seconds, settings=cache)
            path.unlink()
            numbers = {
                "images_per_second": BATCH * known["batches"],
                "first_batch_new": new["first_batch"],
                "first_batch": known["first_batch"],
                "peak": max(new["peak"], known["peak"]),
            }
            rows.append(new_row(PICTURES, number, {name: rounded(each) for name, each in numbers.items()}))
            bar.advance(number + 100_000)
    return rows


def measure(options: argparse.Namespace, device: torch.device) -> list[Row]:
    """All rows of this machine."""
    card = torch.cuda.get_device_name(device) if device.type == "cuda" else f"{processor()}, CPU"
    machine = f"{card}, {count(options.threads, 'thread')}, {options.precision}"
    command = f"python -m benchmarks.growth --device {options.device} --precision {options.precision}"
    fixed = {"command": f"{command} --threads {options.threads}", "measured": measured(device)}

    def new_row(grown: str, size: int, numbers: dict[str, float]) -> Row:
        return Row(machine, grown, size, **fixed, **numbers)  # type: ignore[arg-type]

    turns, seconds = (1, 0.5) if options.quick else (5, 5.0)
    kept = 2 if options.quick else 100
    sizes = {
        name: each[:kept]
        for name, each in {"resolution": SIDES, "batch": BATCHES, "width": BASES, PICTURES: COUNTS}.items()
    }
    rows = []
    for name, cases in step_cases(sizes, device, options.precision).items():
        for one, rate, work in rates(name, cases, turns):
            numbers = {"images_per_second": rounded(rate), "gflop_per_image": rounded(work)}
            rows.append(new_row(name, one.size, numbers))
    return rows + loading(sizes[PICTURES], seconds, new_row)


def merged(old: list[Row], new: list[Row]) -> list[Row]:
    """The rows of all machines; new rows replace the old ones of their machine."""
    again = {row.machine for row in new}
    return sorted([row for row in old if row.machine not in again] + new, key=lambda row: row.machine)


def main() -> None:
    """Measures, and writes the rows, the tables and the plot."""
    parser = option_parser(__doc__)
    parser.add_argument("--device", default="cpu", help="auto, cpu, cuda, cuda:1 or mps")
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="float32")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    rows, folder = measure(options, choose_device(options.device)), folder_for(options)
    if folder is not None:
        rows = merged(read_table(folder / "growth.csv", Row), rows)
        write_table(folder / "growth.csv", Row, rows)
        save_png(painted(partial(draw, rows), (7.0, 5.2)).quantize(64), folder / "growth.png")
        tell_result("rows", folder / "growth.csv")
    publish("growth", __doc__, tables(rows), folder)


if __name__ == "__main__":
    main()
