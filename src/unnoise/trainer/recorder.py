"""Recorder of a run: writes its losses, states, stored averages, sample sheets and charts while it trains."""

import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch

from unnoise import pictures
from unnoise.diffusion.diffusion import Diffusion, StepResult
from unnoise.diffusion.tensors import Images
from unnoise.runs.checkpoint import Progress, Run
from unnoise.runs.history import HISTORY, HistoryRow, QualityRow, read_history
from unnoise.runs.snapshots import Snapshots
from unnoise.trainer.event_log import event_log
from unnoise.trainer.guards import Fault, Guards, known_to_have_failed, require_finite
from unnoise.trainer.monitoring import Monitor
from unnoise.trainer.previews import Batch, Previews, PreviewSize, SheetPolish
from unnoise.trainer.progress_log import ProgressLine, ProgressLog
from unnoise.trainer.train_step import TrainStep
from unnoise.utils.errors import UnnoiseError
from unnoise.utils.files import WriteError, remove_temporary_files
from unnoise.utils.out_of_memory import is_out_of_memory
from unnoise.utils.tables import write_table
from unnoise.utils.timers import BudgetTimer, Milestones

Result = TypeVar("Result")

SAVING_SHARE = 1 / 50
"""Share of the training time, at most, for saving; see docs/running_costs.md."""
EARLY_AVERAGES = 7
"""Averages are also stored at 1 / 2 ... 1 / 128 of the time of the first regular ones, so that a run that stops
or converges long before its budget is spent has some to choose from, too."""


class Recorder:
    """Keeps the folder of one run up to date while it trains; a context manager.

    Args:
        run: where to write.
        diffusion: what is trained.
        held_out: batches for the held-out loss, with their classes; may be empty.
        progress: how far the run has come; history of later steps is dropped.
        monitor: measures the quality of samples now and then.
        guards: check losses and samples for faults.
        draw: see `Previews`.
    """

    def __init__(
        self,
        run: Run,
        diffusion: Diffusion,
        held_out: Sequence[Batch],
        progress: Progress,
        monitor: Monitor | None = None,
        guards: Guards | None = None,
        draw: Callable[[PreviewSize], Images] | None = None,
    ) -> None:
        self.run = run
        self.diffusion = diffusion
        self.progress = progress
        self.monitor = monitor
        self.guards = guards
        self.history = [row for row in read_history(run.path / HISTORY) if row.step <= progress.step]
        for folder in (run.path, run.path / "training", run.path / "ema", run.samples):
            remove_temporary_files(folder)
        ema = run.config.recipe.ema
        self.snapshots = Snapshots(run.path / "ema", ema.snapshots, ema.megabytes)
        self.snapshots.warn_if_large(diffusion.weights.profiles)
        self.snapshots.delete_after(progress.step)
        polish = None if monitor is None else SheetPolish.wanted(run.config, diffusion.ema, monitor)
        self.previews = Previews(run, diffusion, held_out, progress, guards, draw, polish)
        self._progress_log = ProgressLog(run.path, progress, run.config.budget.spent(*progress))
        self._results: list[StepResult] = []
        self._learning_rate, self._saved_step = 0.0, progress.step
        self._log = event_log(run.path / "log", progress.step)

    def __enter__(self) -> "Recorder":
        return self

    def __exit__(self, *_: object) -> None:
        self._log.close()

    def record(self, steps: Iterable[TrainStep]) -> Iterator[TrainStep]:
        """Passes the steps on; in between reports losses, saves and draws previews. Closing it saves.

        Raises:
            Fault: when a guard found one; nothing is saved then.
        """
        spent, seconds = self.run.config.budget.spent(*self.progress), self.progress.seconds
        reporting = BudgetTimer(spent, seconds, fraction=0, shortest=1.0)
        saving = BudgetTimer(spent, seconds, share=SAVING_SHARE)
        storing = Milestones(self.snapshots.count, spent, EARLY_AVERAGES)
        step = None
        try:
            for step in steps:
                self.progress, self._learning_rate = step.progress, step.learning_rate
                self.add_results([step.result])
                if reporting.due(step.spent, step.progress.seconds) or known_to_have_failed(step.result):
                    self.report_losses()
                if step.spent < 1 and storing.due(step.spent):
                    self._try(self.store_averages)
                if self.monitor is not None and self.monitor.due(step.progress):
                    step = step._replace(quality=self._try(partial(self._measure, self.monitor)))
                if step.spent < 1:
                    step = self._save_and_preview(step, saving)
                    due = self._progress_log.due(step.progress)
                    yield step._replace(line=self._line(step.spent)) if due else step
        except GeneratorExit:
            self._end()
            raise
        if step is not None and (step.spent >= 1 or self._converged):
            self._try(self.store_averages)  # before the state, so that no state is without its averages
            self._save_at_last()
            last = self._with_preview(step, self.previews.log.last_size(step.progress))
            self._keep_polish(ended=True)
            yield last._replace(line=self._line(last.spent))
        elif step is not None:  # `stop` ended it
            self._end()
        elif spent >= 1 and not self._sheet.exists():  # it was killed just after its last state was saved
            self._try(partial(self.preview, self.previews.log.last_size(self.progress), charts=True))
            self._keep_polish(ended=True)
            self._try(self.write_history)

    def _try(self, action: Callable[[], Result]) -> Result | None:
        """Does what can wait: where disk or memory are full, warns, and leaves it for the next time."""
        try:
            return action()
        except Exception as error:
            if not isinstance(error, WriteError) and not is_out_of_memory(error):
                raise
            why = str(error) if isinstance(error, UnnoiseError) else "Memory ran out while saving or drawing."
            warnings.warn(f"{why} Training goes on, and tries again later.", stacklevel=2)
            return None

    def _measure(self, monitor: Monitor) -> QualityRow:
        self.report_losses()  # first: a fault on a device may not have been noticed yet
        if not self.run.states():
            self.save()  # a run with weights, its best ones, and without a state cannot be resumed
        found = monitor.measure(self.progress)
        if self.guards is not None and monitor.samples is not None:
            self.guards.check_samples(monitor.samples, self.progress, name="quality")
        self._log.add_scalar("quality/kid", found.kid, found.step)
        self._log.add_scalar("quality/copied", found.copied, found.step)
        return found

    @property
    def _converged(self) -> bool:
        if self.monitor is None or not self.run.config.until_converged:
            return False
        return self.monitor.convergence_reason is not None

    def _end(self) -> None:
        self._try(self.store_averages)  # a run that is not resumed needs its last averages, too
        self._save_at_last()
        self._keep_polish(ended=False)
        self._line(self.run.config.budget.spent(*self.progress))
        self._try(self.write_history)
        self._try(self.draw_charts)

    def _keep_polish(self, *, ended: bool) -> None:
        if self.previews.polish is not None:
            self._try(partial(self.previews.polish.keep, self.run.path, ended=ended))

    def _save_at_last(self) -> None:
        try:
            self.save()
        except WriteError as error:
            saved = [int(path.stem) for path in self.run.states()[:1]]
            kept = f"Then continue with --resume from step {saved[0]:,}." if saved else "Nothing was saved yet."
            raise WriteError(f"{error} {kept}") from error

    def _save_and_preview(self, step: TrainStep, saving: BudgetTimer) -> TrainStep:
        """Saves where that is due, or affordable and a preview is due; then draws the preview."""
        now, size = (step.spent, step.progress.seconds), self.previews.log.due(step.progress, step.spent)
        # Not before the last state is known to be good: there must be one to go back to.
        trusted = self.guards.trusted_step if self.guards is not None else None
        good = trusted is None or self._saved_step <= trusted
        if good and (saving.due(*now) or (size is not None and saving.affordable(*now))):
            started = time.monotonic()
            self._try(self.save)
            self._try(self.write_history)
            saving.record(time.monotonic() - started)
        return step if size is None else self._with_preview(step, size)

    def _with_preview(self, step: TrainStep, size: PreviewSize) -> TrainStep:
        charts = size.complete or step.spent >= 1 or self._converged
        try:
            return step._replace(held_out_loss=self._try(partial(self.preview, size, charts=charts)))
        finally:
            self._try(self.write_history)

    def _line(self, spent: float) -> ProgressLine:
        """Writes a line of progress.jsonl."""
        self.report_losses()
        tested = (row.held_out_loss for row in reversed(self.history) if row.held_out_loss is not None)
        measured = {
            "held_out_loss": next(tested, None),
            "kid": self.monitor.rows[-1].kid if self.monitor is not None and self.monitor.rows else None,
        }
        return self._progress_log.add(self.progress, spent, learning_rate=self._learning_rate, **measured)

    def save(self) -> None:
        """Saves the state to resume from, unless a number in it is not finite.

        Raises:
            Fault: when a loss or a weight is not finite; the last saved state stays.
        """
        self.report_losses()
        self._require_finite()
        good = (self.guards.trusted_step, self.guards.sound_step) if self.guards is not None else (None, None)
        self.run.save(self.diffusion, self.progress, trusted=good[0], sound=good[1])
        self._saved_step = self.progress.step

    def store_averages(self) -> None:
        """Stores the averages that `unnoise ema` combines, if the run keeps any.

        Raises:
            Fault: when a weight is not finite; what is stored already stays.
        """
        if self.diffusion.weights.profiles.sigma_rels:
            self._require_finite()
            self.snapshots.write(self.diffusion.weights.profiles)

    def _require_finite(self) -> None:
        average, step = self.diffusion.weights.average, self.progress.step
        tensors = [*average.source.parameters(), *average.network.parameters(), *average.network.buffers()]
        if not bool(torch.stack([tensor.isfinite().all() for tensor in tensors]).all()):
            raise Fault(
                "non-finite weights", "A weight became NaN or infinite", step=step, last_good_step=step - 1
            )

    def add_results(self, results: Sequence[StepResult]) -> None:
        """Keeps the results of steps until the next report."""
        self._results += results

    def report_losses(self) -> None:
        """Adds the mean training losses since the last report to the history and the event log.

        Raises:
            Fault: when a loss or a gradient is not finite, or the loss rose and stayed high.
        """
        if not self._results:
            return
        results, self._results = self._results, []
        step = self.progress.step
        require_finite(results, step)
        loss, noise_loss, image_loss = (
            float(torch.stack(values).mean()) for values in zip(*(one[:3] for one in results), strict=True)
        )
        self.history.append(HistoryRow(*self.progress, self._learning_rate, loss, noise_loss, image_loss, None))
        scalars = {"training": loss, "noise": noise_loss, "image": image_loss}
        for name, value in scalars.items():
            self._log.add_scalar(f"loss/{name}", value, step)
        self._progress_log.add_loss(loss)
        self._log.add_scalar("learning_rate", self._learning_rate, step)
        if self.guards is not None:
            self.guards.check_loss(step, loss)

    def preview(self, size: PreviewSize, *, charts: bool) -> float | None:
        """Draws the sample sheet, and the charts; returns the loss of held-out pictures if it was measured."""
        started, step = time.monotonic(), self.progress.step
        found = self.previews.draw(size, self.progress)
        loss = found.held_out_loss
        if loss is not None:
            self.history.append(HistoryRow(*self.progress, None, None, None, None, loss))
            self._log.add_scalar("loss/held_out", loss, step)
        drawn = time.monotonic()
        if charts:
            self._try(self.draw_charts)
        found = found._replace(testing=found.testing + charts * (time.monotonic() - drawn))
        if found.sheet is None:
            return loss
        try:
            pictures.save_png(found.sheet, self._sheet)
            self._log.add_image("samples", np.asarray(found.sheet.convert("RGB")), step, dataformats="HWC")
        finally:  # where the disk is full, the next one does not come sooner
            self.previews.add(size, self.progress, found, time.monotonic() - started)
        return loss

    @property
    def _sheet(self) -> Path:
        return self.run.samples / f"{self.progress.step:010d}.png"

    def write_history(self) -> None:
        """Writes history.csv, and flushes the event log."""
        write_table(self.run.path / HISTORY, HistoryRow, self.history)
        self._log.flush()

    def draw_charts(self) -> None:
        """Draws the loss curve, and the charts of the monitor."""
        points = [pictures.LossPoint(row.images, row.training_loss, row.held_out_loss) for row in self.history]
        pictures.save_png(pictures.loss_curve(points), self.run.path / "loss.png")
        if self.monitor is not None:
            self.monitor.draw_charts()
