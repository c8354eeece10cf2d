"""What each size of our family costs here: images a second, memory, and its share of what the machine can do.

    python -m benchmarks.presets [--quick]

Each size trains in a process of its own, on random pictures of 32 x 32 in colour, batch 64; a large product of
matrices is timed in the same process, before and after, and what a step multiplies is counted. Beside it
stand the scores that `python -m benchmarks.preset_scores` found. Writes docs/presets.md, and
src/unnoise/measured.toml, which `unnoise presets` shows; with --quick neither of them.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import NamedTuple

import torch

from benchmarks import preset_scores
from benchmarks.quality_rows import Row
from benchmarks.reports import machine, publish, table
from unnoise import Diffusion
from unnoise.cli.console import Bar, result
from unnoise.networks import build
from unnoise.reports.doctor.speed import memory
from unnoise.runs.costs import Measured, Measurements, size_of, to_toml
from unnoise.runs.presets import ABOUT, OURS, recipe
from unnoise.utils import malloc as heap
from unnoise.utils.files import writable
from unnoise.utils.roofline import flops, roof
from unnoise.utils.tables import read_table

CHANNELS, SIDE = 3, 32
UNKNOWN = "–"
NOT_MEASURED = "not measured"


class Cost(NamedTuple):
    """What one size was measured to cost, on this machine."""

    images_per_second: float
    megabytes: float
    gigaflops: float
    """Of an image's part of a step, forward, backward and optimiser."""
    roof: float
    """GFLOP/s of a large product of matrices."""

    @property
    def roof_share(self) -> float:
        """The part of the roof that training reached."""
        return self.gigaflops * self.images_per_second / self.roof


def cost(name: str, batch: int, steps: int) -> Cost:
    """Trains a preset for some steps in this process."""
    torch.manual_seed(0)
    heap.keep()  # as `unnoise train` does
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
    diffusion.train_step(images)  # the first one makes room
    taken = []
    before = roof()
    for _ in range(steps):
        started = time.perf_counter()
        float(diffusion.train_step(images).loss)
        taken.append(time.perf_counter() - started)
    most, after = memory(torch.device("cpu")), roof()
    work = flops(lambda: diffusion.train_step(images)) / batch
    return Cost(batch / median(taken), (most or 0) / 1e6, work / 1e9, (before + after) / 2)


def in_a_process_of_its_own(name: str, batch: int, steps: int, threads: int) -> Cost:
    """The same, where nothing else has taken memory before."""
    options = ["--one", name, "--batch", str(batch), "--steps", str(steps), "--threads", str(threads)]
    done = subprocess.run(  # noqa: S603 (ourselves)
        [sys.executable, "-m", "benchmarks.presets", *options], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"Measuring {name} ended with {done.returncode}: {done.stderr}")
    return Cost(*json.loads(done.stdout))


def page(costs: Mapping[str, Cost], scores: Sequence[Row], batch: int) -> list[str]:
    """What was found, as paragraphs."""
    rows, known = [], preset_scores.scores(scores)
    for name, found in costs.items():
        size = size_of(recipe(name, CHANNELS, SIDE, SIDE).network, SIDE, SIDE)
        numbers = [f"{size.parameters:,}", f"{size.gigaflops:.3f}", f"{found.images_per_second:.1f}"]
        numbers += [f"{found.megabytes:,.0f}", f"{found.gigaflops * found.images_per_second:.0f}"]
        rows.append(
            [
                f"`{name}`",
                ABOUT[name].purpose,
                *numbers,
                f"{found.roof_share:.0%}",
                known.get(name, UNKNOWN),
            ]
        )
    header = ["preset", "for", "parameters", "GFLOP an image", "images/s", "MB", "GFLOP/s"]
    first = next(iter(costs))
    return [
        "# What the presets cost",
        f"Training reaches {costs[first].roof_share:.0%} of the roof with `{first}`, which is what `default` "
        "is for minutes on a CPU.",
        f"Whole training steps of {batch} pictures of {SIDE} x {SIDE} in colour, each preset in a process of "
        "its own. `GFLOP an image`: of its way forward. `MB`: the most that the process held. `GFLOP/s`: the "
        "products and convolutions of a step, forward, backward and optimiser, as PyTorch counts them. `of the "
        "roof`: beside a large product of matrices in the same process "
        f"({median(found.roof for found in costs.values()):.0f} GFLOP/s). "
        + (f"{preset_scores.how(scores)} ([More](preset_scores.md).) " if scores else "")
        + f"{UNKNOWN}: {NOT_MEASURED}.",
        table([*header, "of the roof", "score"], rows, (0, 1, 8)),
    ]


def to_measurements(costs: Mapping[str, Cost], scores: Sequence[Row], how: str) -> Measurements:
    """What `unnoise presets` shows of it."""
    known = preset_scores.scores(scores)
    rows = {
        name: Measured(
            images_per_second=found.images_per_second,
            megabytes=found.megabytes,
            roof_share=found.roof_share,
            score=known.get(name),
        )
        for name, found in costs.items()
    }
    return Measurements(how=f"{preset_scores.how(scores)} {how}" if scores else how, presets=rows)


def arguments() -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a few small steps, to see that it works")
    parser.add_argument(
        "--scores", type=Path, default=Path("docs/preset_scores.csv"), help="(default: the same)"
    )
    parser.add_argument("--presets", nargs="+", choices=OURS, default=list(OURS))
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--docs", type=Path, help="the folder to write to (default: docs; with --quick none)")
    parser.add_argument("--measured", type=Path, help="the file (default: src/unnoise/measured.toml; the same)")
    for name, kind in (("--one", str), ("--batch", int), ("--steps", int)):
        parser.add_argument(name, type=kind, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if not asked.quick:
        asked.docs = asked.docs or Path("docs")
        asked.measured = asked.measured or Path("src/unnoise/measured.toml")
    return asked


def main() -> None:
    """Measures, prints the page, and writes it."""
    asked = arguments()
    torch.set_num_threads(asked.threads)
    if asked.one:
        print(json.dumps(cost(asked.one, asked.batch, asked.steps)))
        return
    batch, steps = (4, 1) if asked.quick else (64, 9)
    scores = read_table(asked.scores, Row)
    costs = {}
    with Bar("Presets", len(asked.presets)) as shown:
        for name in asked.presets:
            costs[name] = in_a_process_of_its_own(name, batch, steps, asked.threads)
            shown.advance(1)
    where = f"on {datetime.now(UTC):%Y-%m-%d} on: {machine()}"
    paragraphs = [
        *page(costs, scores, batch),
        f"```sh\npython -m benchmarks.presets --threads {asked.threads}\n```",
        f"The median of {steps} steps. Measured {where}.",
    ]
    print("\n\n".join(paragraphs))
    if asked.docs:
        publish(asked.docs / "presets.md", *paragraphs)
        result("page", asked.docs / "presets.md")
    if asked.measured:
        how = f"Speed and memory: training on {SIDE} x {SIDE} in colour, batch {batch}, {where}."
        with writable(asked.measured) as file:
            file.write_text(to_toml(to_measurements(costs, scores, how)), "utf-8")
        result("measured", asked.measured)


if __name__ == "__main__":
    main()
