"""Monitor of a run: measures now and then how good its samples are, and whether it has converged."""

import time
from contextlib import suppress

from unnoise.data.batches import Batches, Split
from unnoise.diffusion.diffusion import Diffusion
from unnoise.diffusion.tensors import Pixels
from unnoise.evaluation.features import FingerprintedPictures
from unnoise.pictures import save_png
from unnoise.runs.checkpoint import Progress, Run
from unnoise.runs.history import LEVELS, QUALITY, LevelRow, QualityRow, read_measurements
from unnoise.trainer.monitoring.best_weights import BestWeights
from unnoise.trainer.monitoring.convergence import best_step, convergence_reason
from unnoise.trainer.monitoring.level_losses import level_chart, level_losses
from unnoise.trainer.monitoring.sample_quality import (
    MIN_HELD_OUT,
    NUM_SAMPLES,
    NUM_STEPS,
    SampleScorer,
    quality_chart,
    quick_samples,
)
from unnoise.utils.files import WriteError
from unnoise.utils.tables import write_table
from unnoise.utils.timers import TimeShare

_LEVEL_PICTURES = 16
"""Held-out pictures whose loss is measured at each noise level."""

_SETUP_SECONDS = 1.5
"""Guess, before the first measurement, for loading the feature network and the features of the pictures."""

MONITOR_SHARE, CONVERGENCE_SHARE = 1 / 80, 1 / 20
"""Share of a run's time, at most; a run that stops once it has converged must be measured more often."""


class Monitor:
    """Keeps quality.csv, noise_levels.csv, their charts and best.safetensors of a run up to date.

    All of it takes at most `MONITOR_SHARE` of the run's time, or `CONVERGENCE_SHARE` where the run stops once
    it has converged: the first measurement waits until there was enough time.

    Args:
        run, diffusion: what is measured.
        pictures, parts: the held-out pictures, which samples are compared with, and those trained on.
        progress: how far the run has come; rows of later steps are dropped, see `BestWeights.put_right`.
    """

    def __init__(
        self, run: Run, diffusion: Diffusion, pictures: FingerprintedPictures, parts: Split, progress: Progress
    ) -> None:
        self.run = run
        self.diffusion = diffusion
        self.pictures = pictures
        self.parts = parts
        rows, levels = read_measurements(run.path)
        self._best = BestWeights(run)
        self.rows = self._best.put_right(rows, progress.step)
        kept = {row.step for row in self.rows}
        self.levels = [row for row in levels if row.step in kept]
        if (rows, levels) != (self.rows, self.levels):
            with suppress(WriteError):  # they are written again with the next measurement
                self._write_tables()
        self.convergence_reason = convergence_reason(self.rows, self.levels)
        """One sentence where nothing improves any more, else None."""
        self.samples: Pixels | None = None
        """The samples of the last measurement."""
        self._time_share = TimeShare(CONVERGENCE_SHARE if run.config.until_converged else MONITOR_SHARE)
        self._since = progress.seconds
        self._scorer: SampleScorer | None = None

    def due(self, progress: Progress) -> bool:
        """Whether there are enough held-out pictures to compare with, and enough time has passed."""
        if len(self.parts.held_out) < MIN_HELD_OUT:
            return False
        # A training step is about three calls of the network for each picture: forward, and twice backward.
        calls = 3 * progress.images / max(progress.seconds, 1e-9)
        guess = _SETUP_SECONDS + NUM_SAMPLES * NUM_STEPS / max(calls, 1e-9)
        return self._time_share.affordable(progress.seconds - self._since, guess)

    def measure(self, progress: Progress) -> QualityRow:
        """Measures, stores the weights if they are the best so far, and writes the tables."""
        started = time.monotonic()
        if self._scorer is None:
            seed, device = self.run.config.seed, self.diffusion.ema.device
            self._scorer = SampleScorer.of(self.pictures, self.parts, seed=seed, device=device)
        setup = time.monotonic() - started
        self.samples = quick_samples(self.diffusion.ema, self.run.config)
        found = self._scorer(self.samples, *progress)
        if best_step([*self.rows, found]) == progress.step:
            self._best.write(self.diffusion.ema, [*self.rows, found])
        # Only now: the tables must not name a best step whose weights could not be written.
        self.rows.append(found)
        if not self.run.config.distilled:  # which knows no velocity, whose losses these are
            tested = self.parts.held_out[:_LEVEL_PICTURES]
            classes = Batches(self.pictures, tested, 1, 0).classes_at(tested)
            self.levels += level_losses(self.diffusion.ema, self.pictures.take(tested), classes, progress.step)
        self.convergence_reason = convergence_reason(self.rows, self.levels)
        self._write_tables()
        self._time_share.record(progress.seconds - self._since, time.monotonic() - started, setup)
        return found

    def _write_tables(self) -> None:
        write_table(self.run.path / QUALITY, QualityRow, self.rows)
        write_table(self.run.path / LEVELS, LevelRow, self.levels)

    def draw_charts(self) -> None:
        """Draws the charts of what was measured; apart from `measure`, for it takes as long."""
        if not self.rows:
            return
        path = self.run.path
        save_png(quality_chart(self.rows, best_step(self.rows)), path / "quality.png")
        if self.levels:
            save_png(level_chart(self.levels), path / "noise_levels.png")
