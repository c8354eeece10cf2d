"""Cost of each preset: images a second, memory, and the fraction of the machine's peak that training reaches.

    python -m benchmarks.presets [--quick]

Each preset trains in a process of its own, on random pictures of 32 x 32 in colour, batch 64. A large matrix
product is timed in the same process, before and after, and the products of a step are counted. The scores are
those of `python -m benchmarks.preset_scores`. Also writes src/unnoise/runs/measured.toml, which `unnoise
presets` shows; with --quick it writes nothing.
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
from unnoise.cli.console import ProgressBar, print_result
from unnoise.networks import build
from unnoise.reports.doctor.speed import peak_memory
from unnoise.runs.presets import OWN_PRESETS, PRESET_NOTES, recipe
from unnoise.runs.sizing import PresetCost, PresetCosts, network_size, preset_costs_to_toml
from unnoise.utils import malloc
from unnoise.utils.device_speed import count_flops, peak_gflops
from unnoise.utils.files import atomic_write
from unnoise.utils.tables import read_table

CHANNELS, SIDE = 3, 32
UNKNOWN = "–"


class Cost(NamedTuple):
    """Measured cost of one preset on this machine."""

    images_per_second: float
    megabytes: float
    gigaflops: float
    """GFLOP of an image's part of a step: forward, backward and optimiser."""
    peak: float
    """GFLOP/s of a large matrix product."""

    @property
    def peak_share(self) -> float:
        """Fraction of the peak that training reached."""
        return self.gigaflops * self.images_per_second / self.peak


def train(name: str, batch: int, steps: int, threads: int) -> dict[str, float]:
    """The cost of a preset, as a dictionary, after some steps of training in this process."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    malloc.keep_freed_memory()  # as `unnoise train` does
    chosen = recipe(name, CHANNELS, SIDE, SIDE)
    diffusion = Diffusion(
        build(chosen.network),
        (CHANNELS, SIDE, SIDE),
        schedule=chosen.schedule,
        objective=chosen.objective,
        noise_levels=chosen.noise_levels,
        condition=chosen.condition,
        optimizer=chosen.optimizer,
        ema=chosen.ema,
    )
    images = torch.rand(batch, CHANNELS, SIDE, SIDE)
    diffusion.train_step(images)  # the first step allocates memory
    taken = []
    before = peak_gflops()
    for _ in range(steps):
        started = time.perf_counter()
        float(diffusion.train_step(images).loss)
        taken.append(time.perf_counter() - started)
    most, after = peak_memory(torch.device("cpu")), peak_gflops()
    work = count_flops(lambda: diffusion.train_step(images)) / batch
    return Cost(batch / median(taken), (most or 0) / 1e6, work / 1e9, (before + after) / 2)._asdict()


def cost(name: str, batch: int, steps: int, threads: int) -> Cost:
    """The cost of a preset, measured in a fresh process."""
    return Cost(**in_fresh_process("benchmarks.presets:train", name, batch, steps, threads))


def cost_table(costs: Mapping[str, Cost], scores: Sequence[Row]) -> str:
    """A row for each preset."""
    rows, known = [], preset_scores.scores(scores)
    for name, found in costs.items():
        size = network_size(recipe(name, CHANNELS, SIDE, SIDE).network, SIDE, SIDE)
        numbers = [f"{size.parameters:,}", f"{size.gigaflops:.3f}", f"{found.images_per_second:.1f}"]
        numbers += [f"{found.megabytes:,.0f}", f"{found.gigaflops * found.images_per_second:.0f}"]
        share, score = f"{found.peak_share:.0%}", known.get(name, UNKNOWN)
        rows.append([f"`{name}`", PRESET_NOTES[name].purpose, *numbers, share, score])
    header = [
        "preset",
        "for",
        "parameters",
        "GFLOP an image",
        "images/s",
        "MB",
        "GFLOP/s",
        "of the peak",
        "score",
    ]
    return table(header, rows, (0, 1, 8))


def to_measurements(costs: Mapping[str, Cost], scores: Sequence[Row], how: str) -> PresetCosts:
    """What `unnoise presets` shows of the costs and scores."""
    known = preset_scores.scores(scores)
    rows = {
        name: PresetCost(
            images_per_second=found.images_per_second,
            megabytes=found.megabytes,
            peak_share=found.peak_share,
            score=known.get(name),
        )
        for name, found in costs.items()
    }
    return PresetCosts(how=f"{preset_scores.explanation(scores)} {how}" if scores else how, presets=rows)


def main() -> None:
    """Measures, and writes the table and the file that `unnoise presets` shows."""
    parser = option_parser(__doc__)
    parser.add_argument("--scores", type=Path, default=Path("docs/preset_scores.csv"))
    parser.add_argument("--presets", nargs="+", choices=OWN_PRESETS, default=list(OWN_PRESETS))
    parser.add_argument(
        "--measured", type=Path, help="file for `unnoise presets` (default: the one of unnoise)"
    )
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    batch, steps, folder, file = 64, 9, folder_for(options), options.measured
    if options.quick:
        batch, steps = 4, 1
    else:
        file = file or Path("src/unnoise/runs/measured.toml")
    scores = read_table(options.scores, Row)
    costs = {}
    with ProgressBar("Presets", len(options.presets)) as bar:
        for name in options.presets:
            costs[name] = cost(name, batch, steps, options.threads)
            bar.advance(1)
    peak = median(found.peak for found in costs.values())
    how = f"Batches of {batch}, the median of {steps} steps. Peak of the machine: {peak:.0f} GFLOP/s."
    blocks = {MADE: made("presets", f"--threads {options.threads}", how), "costs": cost_table(costs, scores)}
    publish("presets", __doc__, blocks, folder)
    if file is not None:
        when = measured().removeprefix("Measured ")
        how = f"Speed and memory: training on {SIDE} x {SIDE} in colour, batch {batch}, {when}"
        with atomic_write(file) as temporary:
            temporary.write_text(preset_costs_to_toml(to_measurements(costs, scores, how)), "utf-8")
        print_result("measured", file)


if __name__ == "__main__":
    main()
