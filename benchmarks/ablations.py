"""The studies' own questions, each answered by one change of the recipe, with a spread over seeds.

    python -m benchmarks.ablations

Trains every variant of variants.py on the digits at 16 x 16 for a few hundred steps (a budget in steps, so that
a busy machine changes nothing but the time). Finished runs are lines of --out, and are not trained again:
Ctrl-C stops, and the same command goes on. Writes docs/ablations.md from that file.
"""

import argparse
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from benchmarks.ablation_page import Row, page
from benchmarks.judging import SAMPLES, Judge, held_out_errors
from benchmarks.reports import machine, publish
from benchmarks.variants import SIZE, Variant, chosen
from unnoise.cli.console import Bar, result, say
from unnoise.data import ImageSet, load
from unnoise.data.batches import Batches, split
from unnoise.diffusion.normalizer import Normalizer
from unnoise.runs.plan import plan
from unnoise.training.loop import steps
from unnoise.utils.files import writable


def read_rows(path: Path) -> list[Row]:
    """The runs that are finished; none where there is no such file."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    return [Row(**{**values, "changes": tuple(values["changes"])}) for values in map(json.loads, lines)]


def write_rows(path: Path, rows: Sequence[Row]) -> None:
    """One line of JSON for each run: the file is always whole."""
    with writable(path) as file:
        file.write_text("".join(json.dumps(asdict(row)) + "\n" for row in rows), encoding="utf-8")


@dataclass(frozen=True)
class Task:
    """A run that is still to be done."""

    variant: Variant
    seed: int
    steps: int

    def done_in(self, rows: Sequence[Row]) -> bool:
        """Whether there is a row of just this run."""
        mine = (self.variant.changes, self.seed, self.steps)
        return any((row.changes, row.seed, row.steps) == mine for row in rows)


def run(task: Task, images: ImageSet, judge: Judge, shown: Callable[[], object]) -> Row:
    """Trains once, and judges; `shown` is called after each step."""
    started = time.monotonic()
    config = plan(images, task.variant.wishes(task.seed, task.steps))
    diffusion = config.build()
    parts = split(len(images), config.data.held_out, config.seed)
    batches = Batches(images, parts.training, config.recipe.batch_size, config.seed)
    for _ in steps(diffusion, batches, config.budget, seed=config.seed):
        shown()
    # The scale of the noise is the training pictures' own, whatever this variant is normalised by.
    data_std = Normalizer.fit(images.take(parts.training)).std[0]
    errors = held_out_errors(diffusion, images.take(parts.held_out), data_std)
    pictures = diffusion.generate(SAMPLES, seed=1000 * task.seed, sampling=config.recipe.sampling)
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


def run_all(tasks: Sequence[Task], rows: list[Row], images: ImageSet, judge: Judge, out: Path) -> None:
    """Does what is left, and keeps the file up to date; Ctrl-C leaves all finished runs."""
    with Bar("Training", sum(task.steps for task in tasks), hidden=not tasks) as shown:
        for place, task in enumerate(tasks, start=1):
            done = sum(before.steps for before in tasks[: place - 1])
            shown.show(done, f"{task.variant.name}, seed {task.seed} ({place} of {len(tasks)})")
            rows.append(run(task, images, judge, partial(shown.advance, 1)))
            write_rows(out, rows)


def arguments() -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--variants", nargs="*", default=[], metavar="NAME", help="such as loss-l1, or loss")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], metavar="S")
    parser.add_argument("--steps", type=int, default=200, metavar="N")
    parser.add_argument("--out", type=Path, default=Path("runs/ablations.jsonl"), help="the finished runs")
    parser.add_argument("--docs", type=Path, default=Path("docs"), help="the folder of the page")
    asked = parser.parse_args()
    try:
        asked.variants = chosen(asked.variants)
    except ValueError as error:
        parser.error(str(error))
    return asked


def main() -> None:
    """Does the runs that are not done yet, then writes the page of all that are."""
    asked = arguments()
    say(machine())
    images = load("digits", size=(SIZE, SIZE), labels=True)
    judge = Judge.load_or_train(images, asked.out.with_suffix(".judge.safetensors"))
    rows = read_rows(asked.out)
    # Seed by seed, so that what an interrupted run leaves compares all variants.
    wanted = [Task(variant, seed, asked.steps) for seed in asked.seeds for variant in asked.variants]
    try:
        run_all([task for task in wanted if not task.done_in(rows)], rows, images, judge, asked.out)
    except KeyboardInterrupt:
        say("Stopped: the same command goes on.")
    finished = [row for row in rows if row.steps == asked.steps]
    publish(asked.docs / "ablations.md", *page(finished, judge, asked.steps))
    result("page", asked.docs / "ablations.md")


if __name__ == "__main__":
    main()
