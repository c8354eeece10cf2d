"""Ablations: what each choice of the recipe changes, with the spread over seeds.

    python -m benchmarks.ablations

Trains every variant of ablation_variants.py on the digits at 16 x 16 for a few hundred steps. The budget is in
steps, so that a busy machine changes no result. Finished runs are lines of --out and are not trained again:
after Ctrl-C the same command continues.
"""

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import fmean, stdev
from typing import NamedTuple

from benchmarks.ablation_measures import SAMPLES, DigitJudge, held_out_errors
from benchmarks.ablation_variants import BASELINE, SIZE, VARIANTS, Variant, chosen
from benchmarks.json_rows import read_rows, write_rows
from benchmarks.report import MADE, machine, made, publish, table
from unnoise.api.reporting import count, progress_bar, tell
from unnoise.data import ImageSet, load
from unnoise.data.batches import Batches, split
from unnoise.diffusion.normalizer import Normalizer
from unnoise.runs.plan import plan
from unnoise.trainer.loop import steps


@dataclass(frozen=True, kw_only=True)
class Row:
    """One finished run."""

    changes: tuple[str, ...]
    seed: int
    steps: int
    parameters: int
    noise_error: float
    image_error: float
    frechet: float
    confident: float
    seconds: float


@dataclass(frozen=True)
class Task:
    """A run to be done."""

    variant: Variant
    seed: int
    steps: int

    def done_in(self, rows: Sequence[Row]) -> bool:
        """Whether one of these rows is of this run."""
        mine = (self.variant.changes, self.seed, self.steps)
        return any((row.changes, row.seed, row.steps) == mine for row in rows)


def run(task: Task, images: ImageSet, judge: DigitJudge, progress: Callable[[], object]) -> Row:
    """Trains once, and judges; `progress` is called after each step."""
    started = time.monotonic()
    config = plan(images, task.variant.options(task.seed, task.steps))
    diffusion = config.build()
    parts = split(len(images), config.data.held_out, config.seed)
    batches = Batches(images, parts.training, config.recipe.batch_size, config.seed)
    for _ in steps(diffusion, batches, config.budget, seed=config.seed):
        progress()
    # The noise is scaled by the deviation of the training pictures, whatever this variant is normalised by.
    data_std = Normalizer.fit(images.take(parts.training)).std[0]
    errors = held_out_errors(diffusion.ema, images.take(parts.held_out), data_std)
    pictures = diffusion.ema.generate(SAMPLES, seed=1000 * task.seed, sampling=config.recipe.sampling)
    score = judge.score(pictures.cpu())
    return Row(
        changes=task.variant.changes,
        seed=task.seed,
        steps=task.steps,
        parameters=sum(weight.numel() for weight in diffusion.network.parameters()),
        noise_error=errors.noises,
        image_error=errors.images,
        frechet=score.frechet,
        confident=score.confident,
        seconds=time.monotonic() - started,
    )


def run_all(tasks: Sequence[Task], rows: list[Row], images: ImageSet, judge: DigitJudge, out: Path) -> None:
    """Does the tasks, and writes the file after each; Ctrl-C leaves all finished runs."""
    with progress_bar("Training", sum(task.steps for task in tasks), hidden=not tasks) as bar:
        for place, task in enumerate(tasks, start=1):
            done = sum(before.steps for before in tasks[: place - 1])
            bar.update(done, f"{task.variant.name}, seed {task.seed} ({place} of {len(tasks)})")
            rows.append(run(task, images, judge, partial(bar.advance, 1)))
            write_rows(out, rows)


# --- the tables -----------------------------------------------------------------------------------------------


class Measure(NamedTuple):
    """A column: field of the row, title, unit and number of digits."""

    field: str
    title: str
    unit: float
    digits: int
    smaller_is_better: bool

    def summary(self, rows: Sequence[Row]) -> "Summary":
        """Mean and spread over these rows, in the unit of the column."""
        values = [getattr(row, self.field) / self.unit for row in rows]
        return Summary(fmean(values), stdev(values) if len(values) > 1 else None)


class Summary(NamedTuple):
    """Mean, and standard deviation over seeds: None for a single seed."""

    mean: float
    spread: float | None


MEASURES = (
    Measure("noise_error", "noise error", 1.0, 4, smaller_is_better=True),
    Measure("image_error", "image error, 1/1000", 1e-3, 2, smaller_is_better=True),
    Measure("frechet", "Fréchet distance", 1.0, 2, smaller_is_better=True),
    Measure("confident", "confident pictures, %", 0.01, 1, smaller_is_better=False),
)


def marks(one: Summary, baseline: Summary) -> int:
    """Times that a difference exceeds the spread of a difference, (s^2 + s_0^2)^(1/2): 0, 1 or 2.

    Always 0 without a spread.
    """
    if one.spread is None or baseline.spread is None:
        return 0
    difference, spread = abs(one.mean - baseline.mean), (one.spread**2 + baseline.spread**2) ** 0.5
    return int(difference > spread) + int(difference > 2 * spread)


def cell(measure: Measure, rows: Sequence[Row], baseline: Sequence[Row]) -> str:
    """`0.1234 ± 0.0012 ▲`: mean, spread, and a mark if it is better (▲) or worse (▼) than the baseline."""
    one, base = measure.summary(rows), measure.summary(baseline)
    text = f"{one.mean:.{measure.digits}f}"
    if one.spread is not None:
        text += f" ± {one.spread:.{measure.digits}f}"
    better = (one.mean < base.mean) == measure.smaller_is_better
    return f"{text} {('▲' if better else '▼') * marks(one, base)}".strip()


def results(rows: Sequence[Row]) -> str:
    """The table: baseline first, then each variant that has rows."""
    by_variant = {variant: [row for row in rows if row.changes == variant.changes] for variant in VARIANTS}
    lines = [
        [
            variant.question,
            variant.choice,
            *(cell(measure, found, by_variant[BASELINE]) for measure in MEASURES),
            str(len(found)),
            f"{found[0].parameters:,}",
            " ".join(f"`{change}`" for change in variant.changes),
        ]
        for variant, found in by_variant.items()
        if found and by_variant[BASELINE]
    ]
    header = ["question", "choice", *(one.title for one in MEASURES), "runs", "parameters", "changes"]
    return table(header, lines, texts=(0, 1, len(header) - 1))


def judge_table(judge: DigitJudge) -> str:
    """Scores of real digits and of noise, and how often the classifier is right."""
    rows = [
        [name, f"{score.frechet:.2f}", f"{score.confident:.1%}", right]
        for name, score, right in (
            ("real digits that it was not trained on", judge.of_real, f"{judge.accuracy:.1%}"),
            ("evenly distributed noise", judge.of_noise, ""),
        )
    ]
    return table([f"{SAMPLES} pictures", "Fréchet distance", "confident", "classified correctly"], rows)


def parsed() -> argparse.Namespace:
    """The options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--variants", nargs="*", default=[], metavar="NAME", help="such as loss-l1, or loss")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], metavar="S")
    parser.add_argument("--steps", type=int, default=200, metavar="N")
    parser.add_argument("--out", type=Path, default=Path("runs/ablations.jsonl"), help="the finished runs")
    parser.add_argument("--docs", type=Path, default=Path("docs"), help="the folder of the page")
    options = parser.parse_args()
    try:
        options.variants = chosen(options.variants)
    except ValueError as error:
        parser.error(str(error))
    return options


def main() -> None:
    """Does the runs that are missing, then writes the tables of all runs."""
    options = parsed()
    tell(machine())
    images = load("digits", size=(SIZE, SIZE), labels=True)
    judge = DigitJudge.load_or_train(images, options.out.with_suffix(".judge.safetensors"))
    rows = read_rows(options.out, Row)
    # Seed by seed, so that an interrupted benchmark still compares all variants.
    tasks = [Task(variant, seed, options.steps) for seed in options.seeds for variant in options.variants]
    try:
        run_all([task for task in tasks if not task.done_in(rows)], rows, images, judge, options.out)
    except KeyboardInterrupt:
        tell("Stopped. The same command continues.")
    finished = [row for row in rows if row.steps == options.steps]
    minutes = sum(row.seconds for row in finished) / 60
    how = f"{count(len(finished), 'run')} took {minutes:.0f} minutes."
    blocks = {
        MADE: made("ablations", f"--steps {options.steps}", how),
        "results": results(finished),
        "judge": judge_table(judge),
    }
    publish("ablations", __doc__, blocks, options.docs)


if __name__ == "__main__":
    main()
