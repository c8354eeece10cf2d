"""While a run trains, it is asked now and then: how good is it, at which noise levels, is it done."""

import math
import time
from pathlib import Path

from unnoise.data.batches import Batches, Split
from unnoise.diffusion.diffusion import Diffusion
from unnoise.diffusion.tensors import Pixels
from unnoise.evaluation.features import KnownPictures
from unnoise.pictures import save_png
from unnoise.runs.checkpoint import Progress, Run
from unnoise.training.monitoring.convergence import Point, best, converged
from unnoise.training.monitoring.level_losses import LevelLoss, level_chart, level_losses
from unnoise.training.monitoring.sample_quality import (
    CALLS,
    FEWEST_HELD_OUT,
    NUM_SAMPLES,
    Judge,
    Quality,
    quality_chart,
    quick_samples,
)
from unnoise.utils.tables import read_table, write_table
from unnoise.utils.tensor_files import write_tensors
from unnoise.utils.timers import TimeShare

_TESTED = 16
"""Held-out pictures whose loss is measured level by level."""

_SETTING_UP = 1.5
"""Seconds that are guessed for the feature network and the features of the pictures, before the first time."""

SHARE, SHARE_TO_STOP = 1 / 80, 1 / 20
"""Of a run's time, at most; a run that is to stop by what is measured has to be measured more often."""

COPIES = 0.05
"""A larger share of copies than this is no slip of chance."""

TABLE, LEVELS, BEST = "quality.csv", "noise_levels.csv", "best.safetensors"


class Monitor:
    """Keeps quality.csv, noise_levels.csv, their charts, and the best weights so far in a run's folder.

    All of it together takes at most `SHARE` of the run's time, or `SHARE_TO_STOP` where the run is to stop by
    it: the first measure waits until it is earned.

    Args:
        run, diffusion: what is watched.
        pictures, parts: what its samples are held against: those that were held out.
        progress: how far the run had come; what was measured later is forgotten.
    """

    def __init__(
        self, run: Run, diffusion: Diffusion, pictures: KnownPictures, parts: Split, progress: Progress
    ) -> None:
        self.run = run
        self.diffusion = diffusion
        self.pictures = pictures
        self.parts = parts
        rows, levels = read_monitor(run.path)
        self.rows = [row for row in rows if row.step <= progress.step]
        self.levels = [row for row in levels if row.step <= progress.step]
        self.verdict = verdict(self.rows, self.levels)
        """One sentence where nothing improves any more, else None."""
        self.samples: Pixels | None = None
        """That were judged last."""
        self._thrift = TimeShare(SHARE_TO_STOP if run.config.until_converged else SHARE)
        self._since = progress.seconds
        self._judge: Judge | None = None

    def due(self, progress: Progress) -> bool:
        """Whether there is something to hold samples against, and time for it was earned."""
        if len(self.parts.held_out) < FEWEST_HELD_OUT:
            return False
        # A training step is about three calls of the network for each picture: forward, and twice backward.
        calls = 3 * progress.images / max(progress.seconds, 1e-9)
        guess = _SETTING_UP + NUM_SAMPLES * CALLS / max(calls, 1e-9)
        return self._thrift.affordable(progress.seconds - self._since, guess)

    def look(self, progress: Progress) -> Quality:
        """Measures now, keeps the weights where they are the best so far, and writes the tables."""
        started = time.monotonic()
        if self._judge is None:
            seed, device = self.run.config.seed, self.diffusion.ema.device
            self._judge = Judge.of(self.pictures, self.parts, seed=seed, device=device)
        self.samples = quick_samples(self.diffusion.ema, self.run.config)
        found = self._judge(self.samples, *progress)
        tested = self.parts.held_out[:_TESTED]
        classes = Batches(self.pictures, tested, 1, 0).classes_at(tested)
        levels = level_losses(self.diffusion.ema, self.pictures.take(tested), classes, progress.step)
        if best_step([*self.rows, found]) == progress.step:
            facts = {"step": str(found.step), "kid": repr(found.kid), "extractor": found.extractor}
            write_tensors(self.run.path / BEST, self.diffusion.ema.network.state_dict(), facts)
        # Only now: a best step whose weights could not be written must not be told of.
        self.rows.append(found)
        self.levels += levels
        self.verdict = verdict(self.rows, self.levels)
        write_table(self.run.path / TABLE, Quality, self.rows)
        write_table(self.run.path / LEVELS, LevelLoss, self.levels)
        self._thrift.record(time.monotonic() - started)
        return found

    def draw(self) -> None:
        """Draws what was measured, if anything was; apart from measuring, for it takes as long."""
        if not self.rows:
            return
        path = self.run.path
        save_png(quality_chart(self.rows, best_step(self.rows)), path / "quality.png")
        save_png(level_chart(self.levels), path / "noise_levels.png")


def kernel_curve(rows: list[Quality]) -> list[Point]:
    """The kernel distances, by step; infinite where samples are copies, if they are not in all measures.

    Pictures that are learned by heart are as near to held-out ones as any real pictures: no kernel distance
    tells that a network draws nothing new.
    """
    if all(row.copied > COPIES for row in rows):
        return [Point(row.step, row.kid) for row in rows]
    return [Point(row.step, row.kid if row.copied <= COPIES else math.inf) for row in rows]


def best_step(rows: list[Quality]) -> int:
    """The step with the lowest kernel distance of those whose samples are no copies."""
    lowest = best(kernel_curve(rows))
    assert lowest is not None
    return lowest.step


def verdict(rows: list[Quality], levels: list[LevelLoss]) -> str | None:
    """One sentence where neither the samples nor the held-out loss improve any more, else None.

    A network that learns by heart gets worse on held-out pictures while its samples still get better, and one
    that learns slowly shows it in the held-out loss first: so both are asked.
    """
    return converged({"KID": kernel_curve(rows), "the held-out loss": held_out_curve(levels)})


def held_out_curve(levels: list[LevelLoss]) -> list[Point]:
    """The mean over the noise levels, by step."""
    losses: dict[int, list[float]] = {}
    for row in levels:
        losses.setdefault(row.step, []).append(row.loss)
    return [Point(step, sum(each) / len(each)) for step, each in losses.items()]


def read_monitor(path: Path) -> tuple[list[Quality], list[LevelLoss]]:
    """What a run's folder tells of its quality, empty where nothing was measured.

    Raises:
        UnnoiseError: when a table is damaged.
    """
    return read_table(path / TABLE, Quality), read_table(path / LEVELS, LevelLoss)
