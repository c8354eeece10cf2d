"""Comparison of samplers at the same number of network calls, with the spread over seeds.

    python -m benchmarks.solvers RUN --samples 256 --seeds 3

A small classifier is trained on the run's training pictures and their classes; distances are between its
features of samples and of held-out pictures. All samplers start from the same noises. Each gets the grid that
is best for it at 8 calls on a seed of its own. A finished measurement is a line of --log and is not repeated:
after Ctrl-C or --minutes the same command continues.
"""

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from benchmarks.classifier import load_or_train
from benchmarks.json_rows import read_rows, write_rows
from benchmarks.judges import Judge, PictureSet, classifier_judge, subset
from benchmarks.report import MADE, machine, made, publish
from benchmarks.solver_report import AT, LONG, OWN, REAL, REFERENCES, Row, draw, grids_of, tables
from unnoise.api.reporting import Bar, count, progress_bar, tell
from unnoise.data import load
from unnoise.data.batches import split
from unnoise.diffusion.denoiser import Denoiser
from unnoise.diffusion.samplers.sampling import Sampling
from unnoise.evaluation.sampler_search.candidates import CALLS, SAMPLERS, SPACINGS, candidates
from unnoise.pictures import save_png
from unnoise.pictures.charts import painted
from unnoise.runs.autoguidance import load_as_it_draws
from unnoise.runs.checkpoint import Run
from unnoise.utils.errors import UnnoiseError, require

TUNING = -1
"""The seed that the grids are chosen on, and a sampler is recommended by."""

_BATCH = 64
_CLASSIFIER_STEPS = 2000


@dataclass(frozen=True)
class Task:
    """One measurement to be made."""

    solver: str
    sampling: Sampling
    calls: int
    taken: int
    seed: int
    samples: int
    weights: str

    def result_in(self, rows: Sequence[Row]) -> Row | None:
        """The row of this measurement, if there is one."""
        mine = (self.solver, self.sampling.spacing, self.calls, self.seed, self.samples, self.weights)
        for row in rows:
            if (row.solver, row.spacing, row.calls, row.seed, row.samples, row.weights) == mine:
                return row
        return None

    @property
    def cost(self) -> int:
        """Network calls times pictures."""
        return self.taken * self.samples


def measure(task: Task, run: Run, denoiser: Denoiser, judge: Judge, progress: Callable[[float], object]) -> Row:
    """Draws the samples of a task and has them judged; `progress` gets the cost of each batch."""
    started = time.monotonic()
    first_seed, features = (task.seed - TUNING) * 1_000_000, []
    for first in range(0, task.samples, _BATCH):
        number = min(_BATCH, task.samples - first)
        seeds = range(first_seed + first, first_seed + first + number)
        images = denoiser.generate(
            number, seed=seeds[0], sampling=task.sampling, classes=run.config.classes(seeds), batch_size=_BATCH
        )
        features.append(judge.see(as_bytes(images.cpu())))
        progress(task.taken * number)
    score = judge.score(torch.cat(features))
    return Row(
        solver=task.solver,
        spacing=task.sampling.spacing,
        calls=task.calls,
        taken=task.taken,
        seed=task.seed,
        samples=task.samples,
        weights=task.weights,
        seconds=time.monotonic() - started,
        kid=score.kid,
        frechet=score.fd,
    )


class Plan(NamedTuple):
    """All measurements of a run: first those that choose the grids, then those of the tables, seed by seed."""

    run: Run
    denoiser: Denoiser
    samples: int
    seeds: int
    calls: Sequence[int]
    weights: str

    def _task(self, solver: str, sampling: Sampling, calls: int, seed: int) -> Task:
        taken = sampling.calls(self.denoiser.schedule)
        return Task(solver, sampling, calls, taken, seed, self.samples, self.weights)

    def tuning(self) -> list[Task]:
        """Every sampler on every grid at `AT` calls."""
        own = self.run.config.recipe.sampling
        found = candidates(own, self.denoiser.schedule, SAMPLERS, SPACINGS, [AT])
        return [self._task(one.sampling.sampler, one.sampling, AT, TUNING) for one in found]

    def grids(self, rows: Sequence[Row]) -> dict[str, str]:
        """Each sampler's best grid, as far as it is known."""
        return grids_of(_done(self.tuning(), rows))

    def tables(self, grids: dict[str, str]) -> list[Task]:
        """The references, and every sampler on its grid, or on the first grid if its best is not known yet.

        Seeds come one after another, and each begins with `AT` calls, so that an interrupted benchmark still
        compares all samplers.
        """
        own, schedule = self.run.config.recipe.sampling, self.denoiser.schedule
        order = sorted(self.calls, key=lambda calls: (calls != AT, calls))
        tasks, found = [], candidates(own, schedule, SAMPLERS, SPACINGS, order)
        for seed in range(self.seeds):
            tasks += [
                self._task(LONG, Sampling(num_steps=250, guidance=own.guidance), 250, seed),
                self._task(OWN, own, own.calls(schedule), seed),
            ]
            for one in found:
                name = one.sampling.sampler
                if one.sampling.spacing == grids.get(name, SPACINGS[0]):
                    tasks.append(self._task(name, one.sampling, one.calls, seed))
        return tasks


def measure_all(planned: Plan, judge: Judge, log: Path, minutes: float) -> list[Row]:
    """Makes the missing measurements until the time is over; returns all rows."""
    rows, started = read_rows(log, Row), time.monotonic()
    later = sum(task.cost for task in planned.tables({}))
    with progress_bar("Measuring", 1.0) as bar:
        for part, after in ((planned.tuning, later), (lambda: planned.tables(planned.grids(rows)), 0)):
            left = [task for task in part() if task.result_in(rows) is None]
            progress = Counter(bar, after + sum(task.cost for task in left))
            for place, task in enumerate(left, start=1):
                note = f"{task.solver}, {task.calls} calls, seed {task.seed} ({place} of {len(left)})"
                rows.append(measure(task, planned.run, planned.denoiser, judge, partial(progress, note=note)))
                write_rows(log, rows)
                if time.monotonic() - started > 60 * minutes:
                    tell(f"{minutes:g} minutes are over. The same command continues.")
                    return rows
    return rows


class Counter:
    """Adds up the cost of finished work, and shows it on a bar."""

    def __init__(self, bar: Bar, total: float) -> None:
        self.bar, self.total, self.done = bar, total, 0.0

    def __call__(self, cost: float, note: str) -> None:
        """Adds this cost."""
        self.done += cost
        self.bar.update(self.done / self.total, note)


def _done(tasks: Sequence[Task], rows: Sequence[Row]) -> list[Row]:
    return [row for task in tasks if (row := task.result_in(rows)) is not None]


def as_bytes(images: Tensor) -> Tensor:
    """Images in [0, 1] as uint8."""
    return (images * 255).round().clamp(0, 255).to(torch.uint8)


def pictures_of(run: Run) -> PictureSet:
    """The run's training and held-out pictures, with their classes.

    Raises:
        UnnoiseError: if the source has other pictures by now, or fewer than 2 were held out.
    """
    data = run.config.data
    images = load(
        data.source,
        size=(data.height, data.width),
        channels=data.channels,
        fit=data.fit,
        background=data.background,
        labels=True,
    )
    require(
        images.fingerprint == data.fingerprint and data.held_out >= 2,
        f"Samplers are compared with the held-out pictures of the run, but {data.source} has other pictures by "
        "now, or fewer than 2 were held out.",
    )
    parts = split(len(images), data.held_out, run.config.seed)
    return PictureSet(data.source, subset(images, parts.training), subset(images, parts.held_out))


def judge_of(pictures: PictureSet, path: Path) -> Judge:
    """The judge whose classifier is trained on these pictures and kept in this file."""
    everything = np.arange(len(pictures.training))
    return classifier_judge(load_or_train(pictures.training, everything, path, _CLASSIFIER_STEPS), pictures)


def real_rows(pictures: PictureSet, judge: Judge, seeds: int, samples: int) -> list[Row]:
    """Rows of training pictures in place of samples, the best that can be expected."""
    rows = []
    for seed in range(seeds):
        chosen = np.random.default_rng(seed).permutation(len(pictures.training))[:samples]
        score = judge.score(judge.see(pictures.training.take(chosen)))
        rows.append(Row(REAL, "", 0, 0, seed, samples, "", kid=score.kid, frechet=score.fd, seconds=0.0))
    return rows


def write_page(planned: Plan, judge: Judge, rows: Sequence[Row], real: Sequence[Row], docs: Path) -> None:
    """Writes the tables and the plot."""
    tuned = _done(planned.tuning(), rows)
    table_rows = _done(planned.tables(planned.grids(rows)), rows)
    require(
        any(row.solver not in REFERENCES for row in table_rows),
        "There is nothing to compare yet. The same command continues.",
    )
    minutes = round(sum(row.seconds for row in (*table_rows, *tuned)) / 60)
    config = planned.run.config
    how = (
        f"A run of the {config.preset} preset on {config.data.source}, trained for {config.budget.amount:g} "
        f"{config.budget.unit}. Features: {judge.words}. It took {count(minutes, 'minute')}."
    )
    options = f"RUN --samples {planned.samples} --seeds {planned.seeds}"
    blocks = {MADE: made("solvers", options, how), **tables([*table_rows, *real], tuned)}
    publish("solvers", __doc__, blocks, docs)
    save_png(painted(partial(draw, table_rows), (7.0, 4.6)), docs / "solvers.png")


def parsed() -> argparse.Namespace:
    """The options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, metavar="RUN")
    parser.add_argument("--samples", type=int, default=256, metavar="N", help="for each seed")
    parser.add_argument("--seeds", type=int, default=3, metavar="S")
    parser.add_argument("--calls", type=int, nargs="+", default=CALLS, metavar="K")
    parser.add_argument("--minutes", type=float, default=float("inf"))
    parser.add_argument("--log", type=Path, default=Path("runs/solvers.jsonl"), help="the measurements")
    parser.add_argument("--docs", type=Path, default=Path("docs"), help="the folder of the page")
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    if min(options.samples - 1, options.seeds, *options.calls) < 1:
        parser.error("at least 2 samples, 1 seed and 1 call are needed")
    return options


def main() -> None:
    """Makes the missing measurements, then writes the page of all of them."""
    options = parsed()
    tell(machine())
    try:
        run = Run.open(options.run)
        weights = blake2b((run.path / "model.safetensors").read_bytes(), digest_size=6).hexdigest()
        denoiser = load_as_it_draws(run, options.device)
        planned = Plan(run, denoiser, options.samples, options.seeds, options.calls, weights)
        pictures = pictures_of(run)
        judge = judge_of(pictures, options.log.with_suffix(".judge.safetensors"))
        try:
            rows = measure_all(planned, judge, options.log, options.minutes)
        except KeyboardInterrupt:
            tell("Stopped. The same command continues.")
            rows = read_rows(options.log, Row)
        real = real_rows(pictures, judge, options.seeds, options.samples)
        write_page(planned, judge, rows, real, options.docs)
    except UnnoiseError as error:
        raise SystemExit(str(error)) from None


if __name__ == "__main__":
    main()
