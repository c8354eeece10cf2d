"""Check of the rule behind --until-converged, on a long run with few pictures.

    python -m benchmarks.stopping --minutes 12

Trains on 200 digits with 50 held out, long after they are learned by heart. Then the rule is asked after each
measurement that the run has left behind, as it would have been during training. The step where it first says
stop is compared with the step of the lowest kernel distance.
"""

import argparse
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple
from unittest.mock import patch

import numpy as np

from benchmarks.report import MADE, made, publish, table
from unnoise.api.reporting import progress_bar
from unnoise.data import load
from unnoise.runs.checkpoint import Run
from unnoise.runs.config import Budget
from unnoise.runs.history import LevelRow, QualityRow, read_measurements
from unnoise.runs.plan import TrainOptions, plan
from unnoise.trainer.loop import train
from unnoise.trainer.monitoring import best_step, convergence_reason, monitor
from unnoise.trainer.monitoring.convergence import held_out_curve

TRAINED, HELD_OUT = 200, 50


class Stop(NamedTuple):
    """Step where the rule says stop, and those of the lowest kernel distance until then and overall."""

    step: int
    best_so_far: int
    best: int


def stop_of(rows: list[QualityRow], levels: list[LevelRow]) -> Stop | None:
    """The first measurement after which --until-converged would have ended the run; None if there is none."""
    for place, row in enumerate(rows, start=1):
        seen = [level for level in levels if level.step <= row.step]
        if convergence_reason(rows[:place], seen) is not None:
            return Stop(row.step, best_step(rows[:place]), best_step(rows))
    return None


def run_on_few(folder: Path, minutes: float, seed: int) -> Run:
    """Trains on 200 digits, with 50 held out, at a constant learning rate."""
    digits = load("digits")
    chosen = np.random.default_rng(seed).permutation(len(digits))[: TRAINED + HELD_OUT]
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "digits.npy", digits.pixels[np.sort(chosen)])
    images = load(folder / "digits.npy")
    budget = Budget(unit="minutes", amount=minutes)
    options = TrainOptions(preset="nano", held_out=HELD_OUT, seed=seed, budget=budget, until_converged=True)
    config = plan(images, options)
    # It learns and is monitored as with --until-converged, but it does not end: the rule is asked afterwards.
    run = Run.create(folder / "run", config)
    run = run.with_config(replace(config, until_converged=False))
    often = patch.object(monitor, "MONITOR_SHARE", monitor.CONVERGENCE_SHARE)
    with often, progress_bar("Training", 1.0) as bar:
        for step in train(run, images):
            bar.update(step.spent, f"loss {float(step.result.loss):.4f}")
    return run


def tables(rows: list[QualityRow], levels: list[LevelRow]) -> dict[str, str]:
    """The tables of docs/stopping.md: the steps that matter, and all measurements."""
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
    return {"stop": _stop_table(stop, rows), "measurements": table(header, lines, texts=())}


def _stop_table(stop: Stop | None, rows: list[QualityRow]) -> str:
    steps = {"end of the run": rows[-1].step, "lowest kernel distance of the run": best_step(rows)}
    if stop is not None:
        steps = {"stop": stop.step, "lowest kernel distance until then": stop.best_so_far, **steps}
    by_step = {row.step: row for row in rows}
    lines = [
        [
            name,
            f"{step:,}",
            f"{stop.step / step - 1:+.0%}" if stop else "",
            f"{by_step[step].kid:.5f}",
            f"{by_step[step].copied:.0%}",
        ]
        for name, step in steps.items()
    ]
    return table(["", "step", "stop is later by", "KID", "copies"], lines)


def main() -> None:
    """Trains, asks the rule, and writes the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=12.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, default=Path("runs/stopping"), help="of the run")
    parser.add_argument("--docs", type=Path, default=Path("docs"), help="of the page")
    options = parser.parse_args()
    run = run_on_few(options.folder, options.minutes, options.seed)
    rows, levels = read_measurements(run.path)
    if not rows:
        raise SystemExit(f"The run took no measurement in {options.minutes:g} minutes. Give it more --minutes.")
    how = f"{TRAINED} digits, {HELD_OUT} held out, a constant learning rate."
    blocks = {MADE: made("stopping", f"--minutes {options.minutes:g}", how), **tables(rows, levels)}
    publish("stopping", __doc__, blocks, options.docs)


if __name__ == "__main__":
    main()
