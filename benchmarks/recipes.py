"""Which recipe makes the best pictures in the same minutes? Each trains, draws and is judged in the same way.

    python -m benchmarks.recipes --measure              # what each costs: CPU seconds an image, on one thread
    python -m benchmarks.recipes [NAME ...]             # trains them one after the other, and judges them

A recipe is the preset `nano`, as it was when the search began, with some changes. It sees as many images as a
CPU would train in the minutes at hand, by what it was measured to cost; where its steps are taken is all the
same then, and a GPU takes those of many recipes at once. Each run keeps averages of several lengths and is
drawn by several samplers, which cost little to compare. docs/log.md tells what was learned from the tables.
"""

import argparse
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from benchmarks.recipe_list import AVERAGES, RECIPES, SAMPLINGS, START
from benchmarks.solver_judge import Judge, judge_for
from unnoise.cli.console import Bar, result
from unnoise.data import ImageSet, load
from unnoise.data.batches import Batches, held_out_count, split
from unnoise.diffusion.diffusion import Diffusion
from unnoise.optim.ema import EMAConfig, MovingAverage
from unnoise.runs.config import Budget, RunConfig
from unnoise.runs.plan import Wishes, plan
from unnoise.training.loop import choose_device, steps
from unnoise.utils.tables import read_table, write_table


@dataclass(frozen=True)
class Row:
    """What came of one recipe, one average and one sampler."""

    recipe: str
    images_seen: int
    seed: int
    average: float
    sampler: str
    calls: int
    frechet: float
    kid: float
    loss: float
    seconds: float


@dataclass(frozen=True)
class Cost:
    """CPU seconds an image, on one thread."""

    recipe: str
    seconds: float


def config_of(name: str, images: ImageSet, budget: Budget, seed: int) -> RunConfig:
    """The preset with the changes of this name. `flip` is no part of the recipe, but of the data."""
    changes = (*START, *RECIPES[name])
    wishes = Wishes(
        preset="nano",
        changes=tuple(change for change in changes if change != "flip"),
        flip="flip" in changes,
        budget=budget,
        seed=seed,
    )
    config = plan(images, wishes)
    return replace(config, recipe=replace(config.recipe, ema=EMAConfig(decay=0.9999, warmup=16.0)))


def trained(
    config: RunConfig, images: ImageSet, device: torch.device
) -> tuple[Diffusion, dict[float, MovingAverage], float]:
    """The run at the end of its budget, its averages by their warmup, and the mean loss of its last tenth."""
    diffusion = config.build(device)
    averages = {
        warmup: MovingAverage(diffusion.network, EMAConfig(decay=0.9999, warmup=warmup)) for warmup in AVERAGES
    }
    parts = split(len(images), config.data.held_out, config.seed)
    batches = Batches(images, parts.training, config.recipe.batch_size, config.seed, flip=config.data.flip)
    late, shown = [], 0.0
    with Bar("Training", 1.0) as bar:
        for step in steps(diffusion, batches, config.budget, seed=config.seed):
            for average in averages.values():
                average.update()
            if step.spent > 0.9:
                late.append(step.result.loss)
            if step.spent - shown > 0.01:
                shown = step.spent
                bar.show(step.spent, "")
    return diffusion, averages, float(torch.stack(late).mean())


def rows(
    name: str, config: RunConfig, images: ImageSet, judge: Judge, asked: argparse.Namespace
) -> Iterator[Row]:
    """Trains a recipe, and judges every pair of an average and a sampler."""
    started = time.monotonic()
    diffusion, averages, loss = trained(config, images, choose_device(asked.device))
    seconds = time.monotonic() - started
    drawing = diffusion.ema
    for warmup, average in averages.items():
        drawing.network = average.network
        for word in SAMPLINGS if warmup == 8.0 and "128-0.3-1.2-0.006" in name else asked.samplings:
            sampling = SAMPLINGS[word]
            pictures = drawing.generate(asked.samples, seed=0, sampling=sampling, batch_size=500).cpu()
            found = judge.distances(judge.features(pictures))
            calls = sampling.calls(diffusion.schedule)
            seen = int(config.budget.amount)
            yield Row(
                name, seen, config.seed, warmup, word, calls, found["frechet"], found["kid"], loss, seconds
            )


def cost(name: str, images: ImageSet) -> float:
    """CPU seconds an image: the least of a few steps, on one thread, so that other work hardly matters."""
    config = config_of(name, images, Budget(), 0)
    diffusion, taken = config.build(), []
    pictures = images.take(torch.arange(config.recipe.batch_size).numpy())
    for turn in range(5):
        started = time.process_time()
        diffusion.train_step(pictures)
        if turn:
            taken.append(time.process_time() - started)
    return min(taken) / len(pictures)


def measure(names: Sequence[str], images: ImageSet, path: Path) -> None:
    """Writes what each costs; what was measured before stays."""
    torch.set_num_threads(1)
    known = {row.recipe: row for row in read_table(path, Cost)}
    for name in names:
        known[name] = Cost(name, cost(name, images))
        print(f"{name}: {1 / known[name].seconds:.1f} images/s on one thread", flush=True)
        write_table(path, Cost, list(known.values()))


def main() -> None:
    """Measures, or trains and judges."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help="recipes, as NAME or NAME@SEED; all, if left out"
    )
    parser.add_argument("--measure", action="store_true", help="only measure what each costs")
    parser.add_argument("--minutes", type=float, default=10.0, help="of a CPU that does --rate")
    parser.add_argument("--rate", type=float, default=282.0, help="images/s of start on two threads")
    parser.add_argument("--images", default="fashion-mnist")
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--samplings", nargs="*", default=["2m-sde-40", "2m-20"], help="of each average")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--work", type=Path, default=Path("build/recipes"))
    asked = parser.parse_args()
    asked.work.mkdir(parents=True, exist_ok=True)
    images = load(asked.images, labels=True)
    names = asked.names or list(RECIPES)
    if asked.measure:
        measure(names, images, asked.work / "costs.csv")
        return
    costs = {row.recipe: row.seconds for row in read_table(asked.work / "costs.csv", Cost)}
    judge = judge_for(
        images, split(len(images), held_out_count(len(images)), 0), asked.work / "judge.safetensors"
    )
    for asked_for in names:
        name, seed, minutes = (*asked_for.split("@"), "", "")[:3]
        seen = (
            60 * float(minutes or asked.minutes) * asked.rate * costs["start"] / costs.get(name, costs["start"])
        )
        config = config_of(name, images, Budget(unit="images", amount=round(seen)), int(seed or 0))
        path = asked.work / f"{asked_for}.csv"
        write_table(path, Row, list(rows(name, config, images, judge, asked)))
        result(asked_for, path)


if __name__ == "__main__":
    main()
