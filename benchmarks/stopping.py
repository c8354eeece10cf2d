"""A run on few pictures goes on for long: where would it have stopped, and was that the right time.

    python -m benchmarks.stopping --minutes 12

200 digits are trained on, and 50 held out, far beyond the point where they are learned by heart. Then the
rule of `--until-converged` is asked after each measure that the run left behind, as it would have been on the
way: where it first says stop is compared with the step of the lowest kernel distance. Writes stopping.md.
"""

import argparse
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple
from unittest.mock import patch

import numpy as np

from benchmarks.reports import measured, publish, table
from unnoise.cli.console import Bar, say
from unnoise.data import load
from unnoise.runs.checkpoint import Run
from unnoise.runs.config import Budget
from unnoise.runs.plan import Wishes, plan
from unnoise.training.loop import train
from unnoise.training.monitoring import (
    LevelLoss,
    Quality,
    best_step,
    held_out_curve,
    monitor,
    read_monitor,
    verdict,
)

TRAINED, HELD_OUT = 200, 50


class Stop(NamedTuple):
    """Where the rule says stop, and which step had then, and in the whole run, the lowest kernel distance."""

    step: int
    best_so_far: int
    best: int


def stop_of(rows: list[Quality], levels: list[LevelLoss]) -> Stop | None:
    """The first measure after which a run that waits for convergence would have ended, if there is one."""
    for place, row in enumerate(rows, start=1):
        seen = [level for level in levels if level.step <= row.step]
        if verdict(rows[:place], seen) is not None:
            return Stop(row.step, best_step(rows[:place]), best_step(rows))
    return None


def run_on_few(folder: Path, minutes: float, seed: int) -> Run:
    """Trains on 200 digits of the set, with 50 held out, at a constant rate."""
    digits = load("digits")
    chosen = np.random.default_rng(seed).permutation(len(digits))[: TRAINED + HELD_OUT]
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "digits.npy", digits.pixels[np.sort(chosen)])
    images = load(folder / "digits.npy")
    budget = Budget(unit="minutes", amount=minutes)
    wishes = Wishes(preset="nano", held_out=HELD_OUT, seed=seed, budget=budget, until_converged=True)
    config = plan(images, wishes)
    # It waits for convergence in how it learns and is watched, not in its end: the rule is asked afterwards.
    run = Run.create(folder / "run", config)
    run = run.with_config(replace(config, until_converged=False))
    often = patch.object(monitor, "SHARE", monitor.SHARE_TO_STOP)
    with often, Bar("Training", 1.0) as bar:
        for step in train(run, images):
            bar.show(step.spent, f"loss {float(step.result.loss):.4f}")
    return run


def publish_page(path: Path, rows: list[Quality], levels: list[LevelLoss], minutes: float) -> str:
    """Writes the page, computed from what the run left; returns what it says first."""
    stop = stop_of(rows, levels)
    held_out = {point.step: point.value for point in held_out_curve(levels)}
    marks = {best_step(rows): " (lowest)"}
    if stop is not None:
        marks[stop.step] = marks.get(stop.step, "") + " (stop)"
    lines = [
        (
            f"{row.step:,}{marks.get(row.step, '')}",
            f"{row.kid:.5f}",
            f"{row.low:.5f} to {row.high:.5f}",
            f"{held_out[row.step]:.4f}",
            f"{row.copied:.0%}",
            f"{row.nearer:.2f}",
        )
        for row in rows
    ]
    header = ("step", f"KID-{rows[-1].extractor}", "95 %", "held-out loss", "copies", "nearer to training")
    said = _sentence(stop, rows)
    made = (
        f"`python -m benchmarks.stopping --minutes {minutes:g}`: {TRAINED} digits, {HELD_OUT} held out, a "
        f"constant learning rate, and everything that the run measured of itself. {measured()}"
    )
    publish(path, "# When does a run stop?", said, made, table(header, lines, texts=()))
    return said


def _sentence(stop: Stop | None, rows: list[Quality]) -> str:
    if stop is None:
        return f"The rule did not say stop within {rows[-1].step:,} steps."
    so_far, whole = (f"{stop.step / step - 1:+.0%}" for step in stop[1:])
    kept, lowest = (next(row for row in rows if row.step == step) for step in stop[1:])
    where = "inside" if kept.low <= lowest.kid <= kept.high else "outside"
    return (
        f"The rule says stop at step {stop.step:,}. The lowest kernel distance until then, where "
        f"hardly any sample was a copy, was at step "
        f"{stop.best_so_far:,} ({so_far}), that of the whole run at step {stop.best:,} ({whole}): "
        f"{lowest.kid:.5f} lies {where} the 95 % interval of the first, {kept.low:.5f} to {kept.high:.5f}. "
        f"Of the samples {kept.copied:.0%} were copies there, and {rows[-1].copied:.0%} at the end."
    )


def main() -> None:
    """Trains, asks, and writes the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=12.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, default=Path("runs/stopping"), help="of the run")
    parser.add_argument("--docs", type=Path, default=Path("docs"), help="of the page")
    asked = parser.parse_args()
    run = run_on_few(asked.folder, asked.minutes, asked.seed)
    rows, levels = read_monitor(run.path)
    if not rows:
        raise SystemExit(f"The run measured nothing of itself in {asked.minutes:g} minutes: give it more.")
    say(publish_page(asked.docs / "stopping.md", rows, levels, asked.minutes))


if __name__ == "__main__":
    main()
