"""Training in bfloat16 beside float32 on a CPU: speed of the default preset, and quality after equal steps.

    python -m benchmarks.precision speed [--before FOLDER]
    python -m benchmarks.precision quality [--seeds 0 1 2 3 4] [--steps 1000]

`speed` times whole training steps of the preset `nano` in turns, each precision in a process of its own, and
with --before those of an older checkout of unnoise as well. `quality` trains Fashion-MNIST for equal steps in
both precisions, and has 1,000 samples judged as in time_to_quality. Rows are kept in --work, so that a stopped
command goes on.
"""

import os
import subprocess
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import fmean, median, stdev

import numpy as np
import torch

from benchmarks.json_rows import read_rows, write_rows
from benchmarks.judges import CLASSES, PictureSet, judges, picture_set
from benchmarks.report import MADE, folder_for, made, option_parser, publish, table
from benchmarks.turns import in_turns
from unnoise.data.batches import Batches
from unnoise.networks import build
from unnoise.runs.config import Budget
from unnoise.runs.plan import TrainOptions, plan
from unnoise.runs.presets import recipe
from unnoise.trainer.loop import steps
from unnoise.utils import malloc
from unnoise.utils.device_peak import Peak, device_peak
from unnoise.utils.device_speed import count_flops
from unnoise.utils.precision import Precision, bfloat16_is_fast

SHAPES = ((1, 28), (3, 32), (3, 64), (3, 128), (3, 256))
"""Channels and side of the pictures."""
PRECISIONS: tuple[Precision, ...] = ("float32", "bfloat16")
_BEFORE = "before"
_MEDIUM, _FEW_TURNS = 64, 5
_SAMPLES, _AT_ONCE = 1000, 100

# A program of its own, for an older checkout has to run it too: it knows what has long been there.
_STEPS = """
import resource, sys, time
import torch
from unnoise import Diffusion
from unnoise.networks import build
from unnoise.runs.presets import nano
from unnoise.utils import malloc
channels, side, threads = map(int, sys.argv[1:4])
torch.set_num_threads(threads)
torch.manual_seed(0)
malloc.keep_freed_memory()
made = nano(channels, side, side)
diffusion = Diffusion(
    build(made.network), (channels, side, side), schedule=made.schedule, objective=made.objective,
    noise_levels=made.noise_levels, condition=made.condition, optimizer=made.optimizer, ema=made.ema,
    precision=sys.argv[4],
)
images = torch.randint(0, 256, (made.batch_size, channels, side, side), dtype=torch.uint8)
for _ in range(3):
    diffusion.train_step(images)
for _ in sys.stdin:
    began = time.perf_counter()
    diffusion.train_step(images)
    seconds = time.perf_counter() - began
    print(seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, flush=True)
"""


class TimedSteps:
    """Training steps in a process of its own: a call takes one, and returns its seconds."""

    gigabytes = 0.0
    """The most memory that the process has had."""

    def __init__(self, source: Path, channels: int, side: int, threads: int, precision: str) -> None:
        arguments = [str(channels), str(side), str(threads), precision]
        self._process = subprocess.Popen(  # noqa: S603 (this program)
            [sys.executable, "-c", _STEPS, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(source), "OMP_NUM_THREADS": str(threads)},
        )

    def __enter__(self) -> "TimedSteps":
        return self

    def __exit__(self, *raised: object) -> None:
        self._process.kill()
        self._process.communicate()

    def __call__(self) -> float:
        """Takes one step."""
        asks, answers = self._process.stdin, self._process.stdout
        assert asks is not None
        assert answers is not None
        asks.write("step\n")
        asks.flush()
        seconds, kilobytes = map(float, answers.readline().split())
        self.gigabytes = kilobytes * 1024 / 1e9
        return seconds


def speed_rows(threads: int, turns: int, before: Path | None) -> tuple[list[list[str]], str]:
    """A row for each size and precision, and a sentence with the peaks of the machine."""
    here = Path(__file__).parent.parent / "src"
    precisions = PRECISIONS if bfloat16_is_fast() else PRECISIONS[:1]
    peaks: dict[str, Peak] = {name: device_peak(dtype=getattr(torch, name)) for name in precisions}
    rows: list[list[str]] = []
    for channels, side in SHAPES:
        batch, work = _work(channels, side)
        with ExitStack() as held:
            start = partial(TimedSteps, channels=channels, side=side, threads=threads)
            runs: dict[str, TimedSteps] = {
                name: held.enter_context(start(here, precision=name)) for name in precisions
            }
            if before is not None:
                runs[_BEFORE] = held.enter_context(start(before / "src", precision="float32"))
            some = turns if side <= _MEDIUM else min(turns, _FEW_TURNS)
            seconds = in_turns(runs, some, f"{side} x {side}")
        for name, run in runs.items():
            taken = median(seconds[name])
            ratios = [
                f"{_ratio(seconds, other, name):.2f}" for other in ("float32", _BEFORE) if other in seconds
            ]
            cells = [f"{1e3 * taken:.0f}", f"{batch / taken:.1f}", *ratios]
            share = f"{work / taken / 1e9 / peaks[name].gflops:.0%}" if name in peaks else ""
            rows.append([f"{side} x {side}", name, *cells, share, f"{run.gigabytes:.2f}"])
    told = (f"{peak.gflops:.0f} GFLOP/s in {name} ({peak.operation})" for name, peak in peaks.items())
    how = f"{turns} turns of one step, of pictures above {_MEDIUM} pixels {_FEW_TURNS}."
    return rows, f"{how} Peak of the machine: {' and '.join(told)}."


def _ratio(seconds: Mapping[str, list[float]], slow: str, fast: str) -> float:
    """The median of the ratios within each turn: what slows the machine slows both."""
    return median(one / other for one, other in zip(seconds[slow], seconds[fast], strict=True))


def _work(channels: int, side: int) -> tuple[int, float]:
    """Images of a step, and floating-point operations of its forward and backward pass."""
    chosen = recipe("nano", channels, side, side)
    network = build(chosen.network)
    images = torch.rand(2, channels, side, side)
    flops = count_flops(lambda: network(images, torch.rand(2, 1, 1, 1)).sum().backward())
    return chosen.batch_size, flops / 2 * chosen.batch_size


# --- quality --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Row:
    """A finished run."""

    precision: Precision
    seed: int
    steps: int
    frechet: float
    held_out_loss: float


def trained(pictures: PictureSet, precision: Precision, seed: int, count: int, work: Path) -> Row:
    """Trains for so many steps, and has samples judged."""
    images = pictures.training
    budget = Budget(unit="steps", amount=count)
    config = plan(
        images, TrainOptions(seed=seed, held_out=0, budget=budget, preset="nano", precision=precision)
    )
    diffusion = config.build()
    batches = Batches(images, np.arange(len(images)), config.recipe.batch_size, seed)
    for _ in steps(diffusion, batches, budget, seed=seed):
        pass
    judge = next(one for one in judges(pictures, work) if one.name == CLASSES)
    draw = partial(diffusion.ema.generate, _AT_ONCE, sampling=config.recipe.sampling)
    drawn = (draw(seed=10_000 * seed + first) for first in range(0, _SAMPLES, _AT_ONCE))
    samples = [(255 * images).round().clamp(0, 255).to(torch.uint8) for images in drawn]
    diffusion.ema.precision = "float32"  # one measure for both
    diffusion.generator.manual_seed(0)
    chosen = torch.from_numpy(np.random.default_rng(0).permutation(len(pictures.references))[:512])
    loss = diffusion.test_step(pictures.references.take(chosen.numpy())).loss
    score = judge.score(judge.features(samples))
    return Row(precision=precision, seed=seed, steps=count, frechet=score.fd, held_out_loss=float(loss))


def quality_table(rows: list[Row]) -> str:
    """A row for each precision, and the seeds side by side."""
    lines = []
    for precision in PRECISIONS:
        some = sorted((row for row in rows if row.precision == precision), key=lambda row: row.seed)
        distances, losses = [row.frechet for row in some], [row.held_out_loss for row in some]
        spread = (
            f"{fmean(each):.3g} ± {stdev(each) if len(each) > 1 else 0:.2g}" for each in (distances, losses)
        )
        lines.append([precision, *spread, ", ".join(f"{distance:.3g}" for distance in distances)])
    return table(["precision", "Fréchet distance", "held-out loss", "seed by seed"], lines)


def main() -> None:
    """Measures, and writes the page."""
    parser = option_parser(__doc__, threads=2)
    parser.add_argument("part", nargs="?", choices=["speed", "quality"], default="speed")
    parser.add_argument("--before", type=Path, metavar="FOLDER", help="an older checkout of unnoise")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--work", type=Path, default=Path("build/precision"))
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    malloc.keep_freed_memory()
    if options.part == "speed":
        rows, how = speed_rows(options.threads, 1 if options.quick else 15, options.before)
        ratios = ["speed-up over float32", *(["speed-up over before"] if options.before else [])]
        header = ["pictures", "precision", "ms", "images/s", *ratios, "of the peak", "GB"]
        isa = os.environ.get("ONEDNN_MAX_CPU_ISA", "")
        widest = isa or torch.backends.cpu.get_cpu_capability()
        kind = "" if widest == "AVX512" else f"-{widest.lower().replace(' ', '-')}"
        command = f"speed{' --before FOLDER' if options.before else ''}"
        command += f"    # with ONEDNN_MAX_CPU_ISA={isa}" if isa else ""
        blocks = {MADE + kind: made("precision", command, how), "speed" + kind: table(header, rows, (0, 1))}
    else:
        log, pictures = options.work / "quality.json", picture_set("fashion-mnist", None)
        found = read_rows(log, Row)
        for seed in options.seeds:
            for precision in PRECISIONS:
                if not any(
                    (row.precision, row.seed, row.steps) == (precision, seed, options.steps) for row in found
                ):
                    found.append(trained(pictures, precision, seed, options.steps, options.work))
                    write_rows(log, found)
        how = f"{options.steps:,} steps, {_SAMPLES:,} samples."
        these = [row for row in found if row.steps == options.steps and row.seed in options.seeds]
        blocks = {
            "made-quality": made("precision", f"quality --steps {options.steps}", how),
            "quality": quality_table(these),
        }
    publish("precision", __doc__, blocks, folder_for(options))


if __name__ == "__main__":
    main()
