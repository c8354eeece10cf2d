"""What a run costs beside its steps: averages, logs, samples, checkpoints, guards, and the memory of its data.

    python -m benchmarks.running_costs [--quick]

Steps with and without what is measured follow one another in turns (A B A B), so that a busy moment meets both;
the medians of the turns count. What is done now and then is counted as often as a run of ten minutes does it,
which the run's own rules tell. Memory is the peak resident set of whole processes, as the system counts it.
Writes docs/running_costs.md.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import NamedTuple

import torch
from torch import nn

from benchmarks.data_memory import memory
from benchmarks.reports import machine, publish, table
from unnoise.cli.console import Bar, result
from unnoise.data import ImageSet, load
from unnoise.data.batches import Batches, split
from unnoise.diffusion.diffusion import Diffusion
from unnoise.runs.checkpoint import Progress, Run
from unnoise.runs.config import Budget
from unnoise.runs.history import Row
from unnoise.runs.plan import Wishes, plan
from unnoise.training.guards import Guards
from unnoise.training.loop import steps
from unnoise.training.monitoring import SHARE
from unnoise.training.previews import SAMPLE_SEEDS, draw_samples
from unnoise.training.recorder import LOOKING_SHARE, SAVING_SHARE, Recorder
from unnoise.utils.timers import Interval

RUN = 600.0
"""Seconds of a run: ten minutes, which is the default."""


class Costs(NamedTuple):
    """Seconds of a step, as it is, without guards, and without averages, and of what is done now and then."""

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
        """How often a run saves, and how often it looks, before its end."""
        saving = Interval(0.0, 0.0, share=SAVING_SHARE)
        looking = Interval(0.0, 0.0, share=LOOKING_SHARE)
        now, saves, looks = 0.0, 0, 0
        while (now := now + self.step) < RUN:
            if not saving.due(now / RUN, now):
                continue
            saves, now = saves + 1, now + self.save
            saving.paid(self.save)
            if looking.due(now / RUN, now):
                looks, now = looks + 1, now + self.look + self.chart
                looking.paid(self.look + self.chart)
        return saves, looks

    @property
    def rows(self) -> list[tuple[str, float, str]]:
        """What each costs, as a part of the training time; averages, logs, samples and checkpoints first."""
        saves, looks = self.counts
        samples = looks * self.look + self.last_look
        return [
            ("averages (EMA and two profiles)", self.step / self.unaveraged - 1, "in each step"),
            ("averages that are stored", self.stores * self.store / RUN, _times(self.stores, self.store)),
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
        """What watches over the run, likewise."""
        _, looks = self.counts
        return [
            ("guards of a step", self.step / self.unguarded - 1, f"{self.step * 1e3:.1f} ms a step"),
            ("guards of samples", (looks + 1) * self.guard / RUN, _times(looks + 1, self.guard)),
            ("asking how good samples are, at most", SHARE, "when it was earned"),
        ]


def _times(count: int, seconds: float) -> str:
    return f"{count} x {seconds * 1e3:.1f} ms"


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


def step_costs(
    diffusion: Diffusion, batches: Batches, count: int, turns: int, clock: Callable[[], float]
) -> list[float]:
    """Seconds of a step: as it is, without guards, and without averages; `count` steps in a turn."""
    stream = steps(diffusion, batches, Budget(unit="steps", amount=1e6))
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
    return [median(times) for times in taken.values()]


def costs(folder: Path, images: ImageSet, count: int, turns: int, clock: Callable[[], float]) -> Costs:
    """Of the default preset on these pictures; `count` steps in a turn."""
    config = plan(images, Wishes(preset="nano", budget=Budget(unit="minutes", amount=RUN / 60)))
    run, diffusion = Run.create(folder, config), config.build()
    parts = split(len(images), config.data.held_out, config.seed)
    batches = Batches(images, parts.training, config.recipe.batch_size, 0)
    of_a_step = step_costs(diffusion, batches, count, turns, clock)
    tested = [parts.held_out[first : first + 64] for first in range(0, min(256, len(parts.held_out)), 64)]
    guards, progress = Guards(run, images, parts.training), Progress(1, 64, 1.0)
    recorder = Recorder(run, diffusion, [(images.take(chunk), None) for chunk in tested], progress)
    one = diffusion.train_step(batches[0])
    recorder.history = [Row(step, 64 * step, step, 1e-3, 0.5, 0.5, 0.5, None) for step in range(int(RUN))]
    samples = draw_samples(diffusion, config, range(len(SAMPLE_SEEDS)))

    def log() -> None:
        recorder.keep([one] * max(1, round(1 / of_a_step[0])))
        recorder.report()
        recorder.history.pop()

    def save() -> None:
        recorder.save()
        recorder.write()

    def look(fine: bool) -> None:
        recorder.look(fine=fine)
        recorder.history.pop()

    actions = (log, save, recorder.store, lambda: look(False), lambda: look(True), recorder.chart)
    guard = timed(lambda: guards.drawn(samples, progress, name="sheet"), 5, clock)
    others = [timed(action, 5, clock) for action in actions]
    return Costs._make([*of_a_step, *others, guard, config.recipe.ema.snapshots])


def timed(action: Callable[[], object], turns: int, clock: Callable[[], float]) -> float:
    """The median seconds of some calls, after one that is not counted."""
    seconds = []
    for turn in range(turns + 1):
        started = clock()
        action()
        if turn:
            seconds.append(clock() - started)
    return median(seconds)


def page(found: Costs, source: str) -> list[str]:
    """What was found of the time, and what it adds up to."""
    together, watching = (sum(part for _, part, _ in rows) for rows in (found.rows, found.watching))
    lines = [
        *found.rows,
        ("**all of these together**", together, ""),
        *found.watching,
        ("**with all that watches**", together + watching, ""),
    ]
    return [
        "# What a run costs beside its steps",
        f"Averages, logs, samples and checkpoints together take {together:.1%} of the time of training, and "
        f"{together + watching:.1%} with all that watches over a run, in one of {RUN / 60:.0f} minutes at the "
        f"default settings (the default preset on {source}, batch 64).",
        table(["", "of the time", "that is"], [[n, f"{part:+.2%}", told] for n, part, told in lines], (0, 2)),
    ]


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
    quick = " --quick" if asked.quick else ""
    paragraphs = [
        *page(found, asked.source),
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
