"""Costs of a run beside its steps: averages, logs, samples, checkpoints, guards, and memory for its data.

    python -m benchmarks.running_costs [--quick]

Steps with and without the guards and the averages take turns. What happens now and then is timed by itself,
and counted as often as a run of ten minutes does it. Memory is the peak of whole processes, as the system
counts it.
"""

import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from statistics import median
from types import SimpleNamespace
from typing import NamedTuple

import torch
from torch import nn

from benchmarks.processes import peak_of
from benchmarks.random_pictures import png_folder
from benchmarks.report import MADE, folder_for, made, option_parser, publish, table
from benchmarks.turns import Clock, in_turns, medians, timed
from unnoise.data import ImageSet, load
from unnoise.data.batches import Batches, split
from unnoise.diffusion.diffusion import Diffusion
from unnoise.optim.weight_update import Scalar, WeightUpdate
from unnoise.runs.checkpoint import Progress, Run
from unnoise.runs.config import Budget
from unnoise.runs.history import HistoryRow
from unnoise.runs.plan import TrainOptions, plan
from unnoise.trainer.guards import Guards
from unnoise.trainer.loop import steps
from unnoise.trainer.monitoring.monitor import MONITOR_SHARE
from unnoise.trainer.previews import SAMPLE_SEEDS, PreviewSize, draw_samples
from unnoise.trainer.previews.rhythm import PreviewRhythm
from unnoise.trainer.recorder import SAVING_SHARE, Recorder
from unnoise.utils.timers import BudgetTimer

RUN = 600.0
"""Seconds of a run: ten minutes, the default."""


class Costs(NamedTuple):
    """Seconds of a step as it is, without guards and without averages, and of what is done now and then."""

    step: float
    unguarded: float
    unaveraged: float
    log: float
    save: float
    store: float
    look: float
    last_look: float
    chart: float
    guard: float
    stores: int

    @property
    def counts(self) -> tuple[int, int]:
        """How often a run saves, and how often it draws all samples, before its end.

        Smaller previews, which come first, count by their time.
        """
        saving, looking = BudgetTimer(0.0, 0.0, share=SAVING_SHARE), PreviewRhythm()
        sizes = [part * (self.look + self.chart) for part in (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1 / 2, 1)]
        now, saves = 0.0, 0
        while (now := now + self.step) < RUN:
            look = looking.choose(sizes, 0.0, now / RUN, now)
            if saving.due(now / RUN, now) or (look is not None and saving.affordable(now / RUN, now)):
                saves, now = saves + 1, now + self.save
                saving.record(self.save)
            if look is not None:
                looking.record(now, sizes[look.place], 0.0)
                now += sizes[look.place]
        return saves, round(looking.taken / sizes[-1])

    @property
    def rows(self) -> list[tuple[str, float, str]]:
        """Name, fraction of the training time and explanation of averages, logs, samples and checkpoints."""
        saves, looks = self.counts
        samples = looks * self.look + self.last_look
        return [
            ("averages (EMA and two profiles)", self.step / self.unaveraged - 1, "in each step"),
            ("stored averages", self.stores * self.store / RUN, _times(self.stores, self.store)),
            ("logs (TensorBoard, history)", self.log, _times(1, self.log) + " each second"),
            ("loss.png", (looks + 1) * self.chart / RUN, _times(looks + 1, self.chart)),
            (
                "held-out loss and sample sheets",
                samples / RUN,
                f"{_times(looks, self.look)}, and at the end {self.last_look * 1e3:.0f} ms",
            ),
            ("checkpoints, with history.csv", (saves + 1) * self.save / RUN, _times(saves + 1, self.save)),
        ]

    @property
    def watching(self) -> list[tuple[str, float, str]]:
        """The same of what watches over the run."""
        _, looks = self.counts
        return [
            ("guards of a step", self.step / self.unguarded - 1, f"{self.step * 1e3:.1f} ms a step"),
            ("guards of samples", (looks + 1) * self.guard / RUN, _times(looks + 1, self.guard)),
            ("measuring the quality of samples, at most", MONITOR_SHARE, "a fixed share"),
        ]


def _times(count: int, seconds: float) -> str:
    return f"{count} x {seconds * 1e3:.1f} ms"


class PartialUpdate(WeightUpdate):
    """A weight update that leaves out the gradient guard or the averages, and shares the rest with another."""

    def __init__(self, whole: WeightUpdate, missing: str) -> None:
        vars(self).update(vars(whole))
        self.guarded = missing != "guards"
        if missing == "averages":
            vars(self).update(
                average=SimpleNamespace(update=lambda: None), profiles=SimpleNamespace(sigma_rels=())
            )

    def step(self, loss: Scalar) -> Scalar:
        """Moves the weights, and checks nothing where there is no guard."""
        if self.guarded:
            return super().step(loss)
        if (longest := self.config.max_gradient_norm) is not None:
            parameters = [each for group in self.optimizer.param_groups for each in group["params"]]
            nn.utils.clip_grad_norm_(parameters, longest)
        self.optimizer.step()
        self.average.update()
        if self.profiles.sigma_rels:
            self.profiles.update()
        return loss


@contextmanager
def without(diffusion: Diffusion, missing: str) -> Iterator[None]:
    """The diffusion without its gradient guard ("guards"), without its averages, or as it is."""
    whole = diffusion.weights
    diffusion.weights = PartialUpdate(whole, missing)
    try:
        yield
    finally:
        diffusion.weights = whole


def step_costs(diffusion: Diffusion, batches: Batches, count: int, turns: int, clock: Clock) -> list[float]:
    """Seconds of a step: as it is, without guards, and without averages; `count` steps in a turn."""
    stream = steps(diffusion, batches, Budget(unit="steps", amount=1e6))

    def seconds(missing: str) -> float:
        with without(diffusion, missing):
            return timed(lambda: next(stream), count, clock)

    runs = {missing: partial(seconds, missing) for missing in ("nothing", "guards", "averages")}
    return list(medians(in_turns(runs, turns, "Steps")).values())


def costs(folder: Path, images: ImageSet, count: int, turns: int, clock: Clock) -> Costs:
    """Costs of the default preset on these pictures; `count` steps in a turn."""
    config = plan(images, TrainOptions(preset="nano", budget=Budget(unit="minutes", amount=RUN / 60)))
    run, diffusion = Run.create(folder, config), config.build()
    parts = split(len(images), config.data.held_out, config.seed)
    batches = Batches(images, parts.training, config.recipe.batch_size, 0)
    of_a_step = step_costs(diffusion, batches, count, turns, clock)
    tested = [parts.held_out[first : first + 64] for first in range(0, min(256, len(parts.held_out)), 64)]
    guards, progress = Guards(run, images, parts.training), Progress(1, 64, 1.0)
    recorder = Recorder(run, diffusion, [(images.take(chunk), None) for chunk in tested], progress)
    one = diffusion.train_step(batches[0])
    recorder.history = [
        HistoryRow(step, 64 * step, step, 1e-3, 0.5, 0.5, 0.5, None) for step in range(int(RUN))
    ]
    samples = draw_samples(diffusion.ema, config, range(len(SAMPLE_SEEDS)))

    def log() -> None:
        recorder.add_results([one] * max(1, round(1 / of_a_step[0])))
        recorder.report_losses()
        recorder.history.pop()

    def save() -> None:
        recorder.save()
        recorder.write_history()

    def look(num_steps: int) -> None:
        recorder.preview(PreviewSize(len(SAMPLE_SEEDS), num_steps), charts=False)
        recorder.history.pop()

    actions = (
        log,
        save,
        recorder.store_averages,
        lambda: look(max(20, config.recipe.sampling.num_steps // 3)),
        lambda: look(config.recipe.sampling.num_steps),
        recorder.draw_charts,
    )
    guard = median_seconds(lambda: guards.check_samples(samples, progress, name="sheet"), clock)
    others = [median_seconds(action, clock) for action in actions]
    return Costs._make([*of_a_step, *others, guard, config.recipe.ema.snapshots])


def median_seconds(action: Callable[[], object], clock: Clock) -> float:
    """The median seconds of five calls, after one that is not counted."""
    return median(in_turns({"": partial(timed, action, 1, clock)}, 5)[""])


def memory(folder: Path, counts: tuple[int, int], steps_each: int) -> list[list[str]]:
    """Rows of peak MB of training on few and on many pictures: when they are decoded, and from the cache."""
    rows, peaks = [], []
    for count in counts:
        pictures = png_folder(folder / f"pictures-{count}", count)
        lengths = {"first": 20, "second": steps_each}
        peaks.append([peak(pictures, folder / f"{name}-{count}", each) for name, each in lengths.items()])
        rows.append([f"{count:,}", *(f"{each:.0f}" for each in peaks[-1])])
    grown = [many / few - 1 for few, many in zip(*peaks, strict=True)]
    return [*rows, ["growth", *(f"{part:+.1%}" for part in grown)]]


def peak(pictures: Path, out: Path, count: int) -> float:
    """Peak MB of a process that trains a tiny network on these pictures for so many steps."""
    small = ["network.widths=[8,16]", 'network.attention=["none","none"]', "network.block_depth=1"]
    options = ["--steps", str(count), "--device", "cpu", "--out", str(out), "--set", *small]
    return peak_of([sys.executable, "-m", "unnoise", "train", str(pictures), *options])


def time_table(found: Costs) -> str:
    """The table of the time that each costs, with both sums."""
    together, watching = (sum(part for _, part, _ in rows) for rows in (found.rows, found.watching))
    lines = [
        *found.rows,
        ("**all of these together**", together, ""),
        *found.watching,
        ("**with all that watches**", together + watching, ""),
    ]
    cells = [[name, f"{part:+.2%}", explanation] for name, part, explanation in lines]
    return table(["", "of the time", "that is"], cells, (0, 2))


def main() -> None:
    """Measures, and writes the tables."""
    parser = option_parser(__doc__)
    parser.add_argument("--source", default="fashion-mnist", help="pictures for the steps")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    count, turns, counts, length = (10, 15, (1000, 100_000), 1000)
    if options.quick:
        count, turns, counts, length = (2, 2, (50, 500), 20)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        found = costs(folder / "run", load(options.source), count, turns, time.perf_counter)
        os.environ["UNNOISE_CACHE"] = str(folder / "cache")
        peaks = memory(folder, counts, length)
    header = ["pictures", "when they are decoded, 20 steps", f"when they are in the cache, {length:,} steps"]
    blocks = {
        MADE: made("running_costs", f"--threads {options.threads}", f"{turns} turns of {count} steps."),
        "time": time_table(found),
        "memory": table(header, peaks),
    }
    publish("running_costs", __doc__, blocks, folder_for(options))


if __name__ == "__main__":
    main()
