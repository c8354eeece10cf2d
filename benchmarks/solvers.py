"""Every sampler draws from the same noises at the same price in network calls, and the pictures are judged.

    python -m benchmarks.solvers RUN --samples 256 --seeds 3

A small classifier learns the run's training pictures with their classes; distances are between its features of
samples and of the held-out pictures. Each sampler gets the grid that is best for it at 8 calls on a seed of its
own. Every finished measurement is a line of --log, and is not made again: Ctrl-C or --minutes stop, and the
same command goes on. Writes solvers.md and solvers.png from that file.
"""

import argparse
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks.reports import machine, publish
from benchmarks.solver_judge import Judge, judge_of
from benchmarks.solver_page import AT, LONG, OWN, REFERENCES, Row, draw, grids_of, page
from unnoise.cli.console import Bar, result, say
from unnoise.diffusion.diffusion import Diffusion
from unnoise.diffusion.samplers.sampling import Sampling
from unnoise.evaluation.sampler_search.candidates import CALLS, SPACINGS, all_samplers, candidates
from unnoise.pictures import save_png
from unnoise.pictures.charts import painted
from unnoise.runs.checkpoint import Run
from unnoise.utils.errors import UnnoiseError, require
from unnoise.utils.files import writable

TUNING = -1
"""The seed that grids are chosen on, and one sampler is recommended by."""

_BATCH = 64


@dataclass(frozen=True)
class Task:
    """One measurement that is wanted."""

    solver: str
    sampling: Sampling
    calls: int
    taken: int
    seed: int
    samples: int
    weights: str

    def result_in(self, rows: Sequence[Row]) -> Row | None:
        """The row of just this measurement."""
        mine = (self.solver, self.sampling.spacing, self.calls, self.seed, self.samples, self.weights)
        for row in rows:
            if (row.solver, row.spacing, row.calls, row.seed, row.samples, row.weights) == mine:
                return row
        return None

    @property
    def cost(self) -> int:
        """Calls of the network, counted by pictures."""
        return self.taken * self.samples


def read_rows(path: Path) -> list[Row]:
    """What was measured before; nothing where there is no such file."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    return [Row(**json.loads(line)) for line in lines]


def write_rows(path: Path, rows: Sequence[Row]) -> None:
    """One line of JSON for each: the file is always whole."""
    with writable(path) as file:
        file.write_text("".join(json.dumps(asdict(row)) + "\n" for row in rows), encoding="utf-8")


def measure(task: Task, run: Run, diffusion: Diffusion, judge: Judge, shown: Callable[[float], object]) -> Row:
    """Draws the pictures of a task and judges them; `shown` is told of the cost of each batch."""
    started = time.monotonic()
    first_seed, features = (task.seed - TUNING) * 1_000_000, []
    for first in range(0, task.samples, _BATCH):
        number = min(_BATCH, task.samples - first)
        seeds = range(first_seed + first, first_seed + first + number)
        images = diffusion.generate(
            number, seed=seeds[0], sampling=task.sampling, classes=run.config.classes(seeds), batch_size=_BATCH
        )
        features.append(judge.features(images.cpu()))
        shown(task.taken * number)
    return Row(
        solver=task.solver,
        spacing=task.sampling.spacing,
        calls=task.calls,
        taken=task.taken,
        seed=task.seed,
        samples=task.samples,
        weights=task.weights,
        seconds=time.monotonic() - started,
        **judge.distances(np.concatenate(features)),
    )


class Plan(NamedTuple):
    """All tasks of a run: first those that choose the grids, then those of the tables, seed by seed."""

    run: Run
    diffusion: Diffusion
    samples: int
    seeds: int
    calls: Sequence[int]
    weights: str

    def _task(self, solver: str, sampling: Sampling, calls: int, seed: int) -> Task:
        taken = sampling.calls(self.diffusion.schedule)
        return Task(solver, sampling, calls, taken, seed, self.samples, self.weights)

    def tuning(self) -> list[Task]:
        """Every sampler on every grid at `AT` calls."""
        own = self.run.config.recipe.sampling
        found = candidates(own, self.diffusion.schedule, all_samplers(), SPACINGS, [AT])
        return [self._task(one.sampling.sampler, one.sampling, AT, TUNING) for one in found]

    def grids(self, rows: Sequence[Row]) -> dict[str, str]:
        """Each sampler's best, as far as it is known."""
        return grids_of(_done(self.tuning(), rows))

    def tables(self, grids: dict[str, str]) -> list[Task]:
        """The references and every sampler on its grid; of samplers without a grid yet, the first one.

        What an interrupted run leaves compares all samplers: seeds come one after another, and in each the
        calls that matter most.
        """
        own, schedule = self.run.config.recipe.sampling, self.diffusion.schedule
        order = sorted(self.calls, key=lambda calls: (calls != AT, calls))
        tasks, found = [], candidates(own, schedule, all_samplers(), SPACINGS, order)
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
    """Does what is left until the time is over; returns all rows that there are now."""
    rows, started = read_rows(log), time.monotonic()
    later = sum(task.cost for task in planned.tables({}))
    with Bar("Measuring", 1.0) as shown:
        for part, after in ((planned.tuning, later), (lambda: planned.tables(planned.grids(rows)), 0)):
            left = [task for task in part() if task.result_in(rows) is None]
            progress = Counter(shown, after + sum(task.cost for task in left))
            for place, task in enumerate(left, start=1):
                note = f"{task.solver}, {task.calls} calls, seed {task.seed} ({place} of {len(left)})"
                rows.append(measure(task, planned.run, planned.diffusion, judge, partial(progress, note=note)))
                write_rows(log, rows)
                if time.monotonic() - started > 60 * minutes:
                    say(f"{minutes:g} minutes are over: the same command goes on.")
                    return rows
    return rows


class Counter:
    """Adds up what is done, and shows it."""

    def __init__(self, shown: Bar, total: float) -> None:
        self.shown, self.total, self.done = shown, total, 0.0

    def __call__(self, cost: float, note: str) -> None:
        """So much more is done."""
        self.done += cost
        self.shown.show(self.done / self.total, note)


def _done(tasks: Sequence[Task], rows: Sequence[Row]) -> list[Row]:
    return [row for task in tasks if (row := task.result_in(rows)) is not None]


def write_page(planned: Plan, judge: Judge, rows: Sequence[Row], asked: argparse.Namespace) -> None:
    """The page and its picture."""
    tuned = _done(planned.tuning(), rows)
    table_rows = _done(planned.tables(planned.grids(rows)), rows)
    real = judge.real(planned.seeds, planned.samples)
    require(
        any(row.solver not in REFERENCES for row in table_rows),
        "There is nothing to compare yet: the same command goes on.",
    )
    config = planned.run.config
    facts = (
        f"A run of the {config.preset} preset on {config.data.source}, "
        f"trained for {config.budget.amount:g} {config.budget.unit}"
    )
    command = f"python -m benchmarks.solvers RUN --samples {asked.samples} --seeds {asked.seeds}"
    date = f"{datetime.now(UTC):%Y-%m-%d}"
    publish(asked.docs / "solvers.md", *page([*table_rows, *real], tuned, facts, command, judge.words, date))
    save_png(painted(partial(draw, table_rows), (7.0, 4.6)), asked.docs / "solvers.png")
    result("page", asked.docs / "solvers.md")


def arguments() -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, metavar="RUN")
    parser.add_argument("--samples", type=int, default=256, metavar="N", help="pictures of each seed")
    parser.add_argument("--seeds", type=int, default=3, metavar="S")
    parser.add_argument("--calls", type=int, nargs="+", default=CALLS, metavar="K")
    parser.add_argument("--minutes", type=float, default=float("inf"))
    parser.add_argument("--log", type=Path, default=Path("runs/solvers.jsonl"), help="what is measured")
    parser.add_argument("--docs", type=Path, default=Path("docs"), help="the folder of the page")
    parser.add_argument("--device", default="cpu")
    asked = parser.parse_args()
    if min(asked.samples - 1, asked.seeds, *asked.calls) < 1:
        parser.error("at least 2 samples, 1 seed and 1 call are needed")
    return asked


def main() -> None:
    """Measures what is missing, then writes the page of all there is."""
    asked = arguments()
    say(machine())
    try:
        run = Run.open(asked.run)
        weights = blake2b((run.path / "model.safetensors").read_bytes(), digest_size=6).hexdigest()
        diffusion = run.load(asked.device)
        planned = Plan(run, diffusion, asked.samples, asked.seeds, asked.calls, weights)
        judge = judge_of(run, asked.log)
        try:
            rows = measure_all(planned, judge, asked.log, asked.minutes)
        except KeyboardInterrupt:
            say("Stopped: the same command goes on.")
            rows = read_rows(asked.log)
        write_page(planned, judge, rows, asked)
    except UnnoiseError as error:
        raise SystemExit(str(error)) from None


if __name__ == "__main__":
    main()
