"""Cost of each preset: parameters, operations, memory, disk and images a second, by the size of the pictures.

    python -m benchmarks.presets [--quick]

Each preset trains in a process of its own, on random pictures in colour, at each size; large batches are halved
until a step takes a few seconds. With one thread it counts seconds of the processor, not of the clock, so that
other work on the machine does not matter much. The peak, that of the fastest operation of the processor's
libraries, is measured in the same process, before and after, and the products of a step are counted. Also
writes src/unnoise/runs/measured.toml, which `unnoise presets` shows, with the scores of `python -m
benchmarks.preset_scores`; with --quick it writes nothing.
"""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

import torch

from benchmarks import preset_scores
from benchmarks.processes import in_fresh_process
from benchmarks.quality_results import Row
from benchmarks.report import MADE, folder_for, made, measured, option_parser, publish, table
from unnoise import Diffusion
from unnoise.api.reporting import progress_bar, tell_result
from unnoise.networks import build
from unnoise.reports.doctor.speed import peak_memory
from unnoise.runs.footprint import memory_bytes, network_size, run_disk_use
from unnoise.runs.preset_costs import (
    MEASURED_CHANNELS,
    Measurement,
    PresetCost,
    PresetCosts,
    preset_costs_to_toml,
    read_preset_costs,
)
from unnoise.runs.presets import PRESETS, recipe
from unnoise.runs.recipe import Recipe
from unnoise.utils import malloc
from unnoise.utils.device_peak import device_peak
from unnoise.utils.device_speed import count_flops
from unnoise.utils.files import atomic_write
from unnoise.utils.tables import read_table

SIDES = (32, 64, 128)
"""Sizes that are measured."""
SHAPES = ((16, 16), (24, 40), (32, 32), (64, 64), (128, 128), (256, 256))
"""Sizes of the table, height x width."""
UNKNOWN = "–"
_MOST_GFLOP, _MOST_BYTES = 600.0, 6e9
"""Of a step, by forecast: larger batches are halved."""


class Cost(NamedTuple):
    """Measured cost of one preset at one size on this machine."""

    side: int
    batch: int
    images_per_second: float
    megabytes: float
    gigaflops: float
    """GFLOP of an image's part of a step: forward, backward and optimiser."""
    peak: float
    """GFLOP/s of the fastest operation of the processor's libraries."""

    @property
    def peak_share(self) -> float:
        """Fraction of the peak that training reached."""
        return self.gigaflops * self.images_per_second / self.peak


def batch_for(name: str, side: int) -> int:
    """The preset's batch size, halved until a step takes a few seconds and gigabytes."""
    chosen = recipe(name, MEASURED_CHANNELS, side, side)
    size, batch = network_size(chosen.network, side, side), chosen.batch_size
    while batch > 2 and (
        3 * batch * size.gigaflops > _MOST_GFLOP or memory_bytes(chosen, side, side, batch) > _MOST_BYTES
    ):
        batch //= 2
    return batch


def train(name: str, side: int, batch: int, steps: int, threads: int) -> dict[str, float]:
    """The measured numbers of a `Cost`, as a dictionary, after some steps of training in this process."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    malloc.keep_freed_memory()  # as `unnoise train` does
    clock = time.process_time if threads == 1 else time.perf_counter
    shape, taken = (MEASURED_CHANNELS, side, side), []
    chosen = recipe(name, *shape)
    diffusion = Diffusion(
        build(chosen.network),
        shape,
        schedule=chosen.schedule,
        objective=chosen.objective,
        noise_levels=chosen.noise_levels,
        condition=chosen.condition,
        optimizer=chosen.optimizer,
        ema=chosen.ema,
    )
    images = torch.rand(batch, *shape)
    work = count_flops(lambda: diffusion.train_step(images)) / batch  # the first step also allocates memory
    before = device_peak(clock=clock).gflops
    for _ in range(steps):
        started = clock()
        float(diffusion.train_step(images).loss)
        taken.append(clock() - started)
    most, after = peak_memory(torch.device("cpu")), device_peak(clock=clock).gflops
    found = {"images_per_second": batch / median(taken), "megabytes": (most or 0) / 1e6}
    return {**found, "gigaflops": work / 1e9, "peak": (before + after) / 2}


def cost(name: str, side: int, batch: int, steps: int, threads: int) -> Cost:
    """The cost of a preset, measured in a fresh process."""
    return Cost(side, batch, **in_fresh_process("benchmarks.presets:train", name, side, batch, steps, threads))


def cost_table(costs: Mapping[str, PresetCost], shapes: Sequence[tuple[int, int]] = SHAPES) -> str:
    """A row for each preset and size: forecasts, and beside them what was measured."""
    rows = []
    for name, found in costs.items():
        here = {(one.side, one.side): one for one in found.measured}
        for height, width in shapes:
            chosen = recipe(name, MEASURED_CHANNELS, height, width)
            size, disk = network_size(chosen.network, height, width), run_disk_use(chosen, judged=True).run
            numbers = [f"{size.parameters:,}", f"{size.gigaflops:.3g}", f"{chosen.batch_size}"]
            numbers += [f"{memory_bytes(chosen, height, width) / 1e9:.2f}", f"{disk / 1e9:.2f}"]
            measured_cells = _measured_cells(chosen, here.get((height, width)))
            rows.append([f"`{name}`", f"{height} x {width}", *numbers, *measured_cells])
    forecasts = ["preset", "pictures", "parameters", "GFLOP an image", "batch", "memory, GB", "disk, GB"]
    return table([*forecasts, "images/s", "of the peak", "at batch", "GB", "forecast GB"], rows, (0, 1))


def _measured_cells(chosen: Recipe, one: Measurement | None) -> list[str]:
    if one is None:
        return [UNKNOWN] * 5
    forecast = memory_bytes(chosen, one.side, one.side, one.batch) / 1e9
    numbers = [f"{one.images_per_second:.3g}", f"{one.peak_share:.0%}", f"{one.batch}"]
    return [*numbers, f"{one.megabytes / 1e3:.2f}", f"{forecast:.2f}"]


def to_measurements(costs: Mapping[str, Sequence[Cost]], scores: Sequence[Row], how: str) -> PresetCosts:
    """What `unnoise presets` shows of the costs and scores."""
    known = preset_scores.scores(scores)
    rows = {
        name: PresetCost(
            score=known.get(name),
            measured=tuple(
                Measurement(
                    side=one.side,
                    batch=one.batch,
                    images_per_second=one.images_per_second,
                    megabytes=one.megabytes,
                    peak_share=one.peak_share,
                )
                for one in found
            ),
        )
        for name, found in costs.items()
    }
    return PresetCosts(how=f"{preset_scores.explanation(scores)} {how}" if scores else how, presets=rows)


def main() -> None:
    """Measures, and writes the table and the file that `unnoise presets` shows."""
    parser = option_parser(__doc__, threads=1)
    parser.add_argument("--scores", type=Path, default=Path("docs/preset_scores.csv"))
    parser.add_argument("--presets", nargs="+", choices=list(PRESETS), default=list(PRESETS))
    parser.add_argument(
        "--measured", type=Path, help="file for `unnoise presets` (default: the one of unnoise)"
    )
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    steps, sides = (1, SIDES[:1]) if options.quick else (3, SIDES)
    folder, file = folder_for(options), options.measured
    if not options.quick:
        file = file or Path("src/unnoise/runs/measured.toml")
    costs: dict[str, list[Cost]] = {name: [] for name in options.presets}
    with progress_bar("Presets", len(costs) * len(sides)) as bar:
        for name in costs:
            for side in sides:
                batch = 4 if options.quick else batch_for(name, side)
                costs[name].append(cost(name, side, batch, steps, options.threads))
                bar.advance(1)
    _publish(costs, read_table(options.scores, Row), steps, options.threads, folder, file)


def _publish(
    costs: Mapping[str, Sequence[Cost]],
    scores: Sequence[Row],
    steps: int,
    threads: int,
    folder: Path | None,
    file: Path | None,
) -> None:
    peak = median(one.peak for found in costs.values() for one in found)
    seconds = "in processor seconds of one thread" if threads == 1 else f"on {threads} threads"
    sides = ", ".join(str(side) for side in sorted({one.side for found in costs.values() for one in found}))
    when = measured().removeprefix("Measured ")
    kept = to_measurements(
        costs, scores, f"Speed and memory: training on pictures in colour of {sides} pixels, {seconds}, {when}"
    )
    options = f"--threads {threads}"
    if file is not None and file.is_file() and set(costs) != set(PRESETS):  # the others keep their rows
        old, some = read_preset_costs(file.read_text("utf-8")), " ".join(costs)
        others = {name: found for name, found in old.presets.items() if name in PRESETS}
        options, when = f"{options} --presets {some}", f"{some.replace(' ', ', ')} {when}"
        kept = PresetCosts(how=f"{old.how} Anew: {when}", presets={**others, **kept.presets})
    how = f"The median of {steps} steps, {seconds}. Peak of the machine: {peak:.0f} GFLOP/s."
    blocks = {MADE: made("presets", options, how), "costs": cost_table(kept.presets)}
    publish("presets", __doc__, blocks, folder)
    if file is not None:
        with atomic_write(file) as temporary:
            temporary.write_text(preset_costs_to_toml(kept), "utf-8")
        tell_result("measured", file)


if __name__ == "__main__":
    main()
