"""What a run leaves behind on its way: losses in a table, a log for TensorBoard, and pictures."""

import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
import torch

from unnoise import pictures
from unnoise.diffusion.diffusion import Diffusion, StepResult
from unnoise.diffusion.tensors import Images
from unnoise.runs.checkpoint import Progress, Run
from unnoise.runs.history import Row, read_history
from unnoise.runs.snapshots import Snapshots
from unnoise.training.event_log import event_log
from unnoise.training.guards import Fault, Guards, found_now, require_finite
from unnoise.training.monitoring import Monitor, Quality
from unnoise.training.previews import SAMPLE_SEEDS, Batch, Interrupted, draw_samples, held_out_loss
from unnoise.utils.files import WriteError, remove_temporary_files
from unnoise.utils.tables import write_table
from unnoise.utils.timers import BudgetTimer, Milestones

Result = TypeVar("Result")

SAVING_SHARE, LOOKING_SHARE = 1 / 50, 1 / 80
"""Of the time of training, at most, so that with all else it stays below a twentieth: docs/running_costs.md."""


class TrainStep(NamedTuple):
    """What the loop yields after each step."""

    progress: Progress
    spent: float
    """Fraction of the budget, 0 to 1."""
    learning_rate: float
    result: StepResult
    held_out_loss: float | None = None
    """Measured only now and then."""
    quality: Quality | None = None
    """Of the samples; measured seldom."""


class Recorder:
    """Keeps the folder of one run up to date while it trains; used as a context.

    Args:
        run: where to.
        diffusion: what is trained.
        held_out: batches that are not trained on, with their classes, for the held-out loss; may be empty.
        progress: how far the run had come; what its history says of later is forgotten.
        monitor: asked now and then how good the samples are.
        guards: told the losses and shown the samples, so that what goes wrong is noticed.
        draw: draws the sample sheet, finely or not; may raise `Interrupted`. As `draw_samples`, if left out.
    """

    def __init__(
        self,
        run: Run,
        diffusion: Diffusion,
        held_out: Sequence[Batch],
        progress: Progress,
        monitor: Monitor | None = None,
        guards: Guards | None = None,
        draw: Callable[[bool], Images] | None = None,
    ) -> None:
        self.run = run
        self._draw = draw
        self.diffusion = diffusion
        self.held_out = held_out
        self.progress = progress
        self.monitor = monitor
        self.guards = guards
        self.history = [row for row in read_history(run.path / "history.csv") if row.step <= progress.step]
        for folder in (run.path, run.path / "training", run.path / "ema", run.samples):
            remove_temporary_files(folder)
        ema = run.config.recipe.ema
        self.snapshots = Snapshots(run.path / "ema", ema.snapshots, ema.megabytes)
        self.snapshots.room(
            diffusion.weights.profiles
        )  # refuses a budget that is too small now, not after an hour
        self.snapshots.forget_after(progress.step)
        self._results: list[StepResult] = []
        self._learning_rate = 0.0
        self._log = event_log(run.path / "log", progress.step)

    def __enter__(self) -> "Recorder":
        return self

    def __exit__(self, *_: object) -> None:
        self._log.close()

    def record(self, steps: Iterable[TrainStep]) -> Iterator[TrainStep]:
        """Passes the steps on; in between reports losses, saves, and looks at samples. Closing it saves.

        Raises:
            Fault: when something went wrong; nothing is saved then.
        """
        spent, seconds = self.run.config.budget.spent(*self.progress), self.progress.seconds
        reporting = BudgetTimer(spent, seconds, fraction=0, shortest=1.0)
        saving = BudgetTimer(spent, seconds, share=SAVING_SHARE)
        looking = BudgetTimer(spent, seconds, share=LOOKING_SHARE)
        storing = Milestones(self.snapshots.count, spent)
        step = None
        try:
            for step in steps:
                self.progress, self._learning_rate = step.progress, step.learning_rate
                self.keep([step.result])
                now = step.spent, step.progress.seconds
                if reporting.due(*now) or found_now(step.result):
                    self.report()
                if step.spent < 1 and storing.due(step.spent):
                    self._try(self.store)
                if self.monitor is not None and self.monitor.due(step.progress):
                    step = step._replace(quality=self._try(partial(self._judge, self.monitor)))
                if step.spent < 1 and saving.due(*now):
                    yield self._save_and_look(step, saving, looking if looking.due(*now) else None)
                elif step.spent < 1:
                    yield step
        except GeneratorExit:
            self._end()
            raise
        if step is not None and (step.spent >= 1 or self._converged):
            self._try(self.store)  # before the state: what a state is the last of has been stored
            yield self._save_and_look_at_last(step)
        elif step is not None:  # it was asked to stop
            self._end()
        elif spent >= 1 and not self._sheet.exists():  # it was killed just after its last state was saved
            self._try(self.look)
            self._try(self.write)
            self._try(self.chart)

    def _try(self, action: Callable[[], Result]) -> Result | None:
        """Does what can wait: where the disk is full, says so, and leaves it for the next time."""
        try:
            return action()
        except WriteError as error:
            warnings.warn(f"{error} Training goes on, and tries again later.", stacklevel=2)
            return None

    def _judge(self, monitor: Monitor) -> Quality:
        self.report()  # first: a device may not have been asked yet whether all is well
        found = monitor.look(self.progress)
        if self.guards is not None and monitor.samples is not None:
            self.guards.drawn(monitor.samples, self.progress, name="quality")
        self._log.add_scalar("quality/kid", found.kid, found.step)
        self._log.add_scalar("quality/copied", found.copied, found.step)
        return found

    @property
    def _converged(self) -> bool:
        if self.monitor is None or not self.run.config.until_converged:
            return False
        return self.monitor.verdict is not None

    def _end(self) -> None:
        self._try(self.store)  # so that a run that never goes on has its last average, too
        self._save_at_last()
        self._try(self.write)
        self._try(self.chart)

    def _save_at_last(self) -> None:
        try:
            self.save()
        except WriteError as error:
            kept = [int(path.stem) for path in self.run.states()[:1]]
            left = f"what was saved at step {kept[0]:,} stays" if kept else "nothing was saved yet"
            raise WriteError(f"{error} Then --resume goes on; {left}.") from error

    def _save_and_look(self, step: TrainStep, saving: BudgetTimer, looking: BudgetTimer | None) -> TrainStep:
        started = time.monotonic()
        self._try(self.save)
        self._try(self.write)
        saved = time.monotonic()
        saving.record(saved - started)
        if looking is not None:  # the weights are safe by now, whatever goes wrong with a picture
            step = self._look(step, fine=False)
            looking.record(time.monotonic() - saved)
        return step

    def _save_and_look_at_last(self, step: TrainStep) -> TrainStep:
        self._save_at_last()
        return self._look(step, fine=True)

    def _look(self, step: TrainStep, *, fine: bool) -> TrainStep:
        try:
            return step._replace(held_out_loss=self._try(partial(self.look, fine=fine)))
        finally:
            self._try(self.write)
            self._try(self.chart)

    def save(self) -> None:
        """Saves the state to resume from, but never one that can't go on.

        Raises:
            Fault: when a loss or a weight is not a finite number; the last saved state stays.
        """
        self.report()
        self._require_finite()
        self.run.save(self.diffusion, self.progress)

    def store(self) -> None:
        """Stores the averages of which `unnoise ema` makes others, if there are any, but none that is spoilt.

        Raises:
            Fault: when a weight is not a finite number; what is stored already stays.
        """
        if self.diffusion.weights.profiles.sigma_rels:
            self._require_finite()
            self.snapshots.write(self.diffusion.weights.profiles)

    def _require_finite(self) -> None:
        average, step = self.diffusion.weights.average, self.progress.step
        tensors = [*average.source.parameters(), *average.network.parameters(), *average.network.buffers()]
        if not bool(torch.stack([tensor.isfinite().all() for tensor in tensors]).all()):
            raise Fault("non-finite weights", "A weight became nan", step=step, good=step - 1)

    def keep(self, results: Sequence[StepResult]) -> None:
        """Keeps what steps gave until the next report."""
        self._results += results

    def report(self) -> None:
        """Records the mean training losses since the last time.

        Raises:
            Fault: when a loss or a gradient is not a finite number, or the loss has risen.
        """
        if not self._results:
            return
        results, self._results = self._results, []
        step = self.progress.step
        require_finite(results, step)
        loss, noise_loss, image_loss = (
            float(torch.stack(values).mean()) for values in zip(*(one[:3] for one in results), strict=True)
        )
        self.history.append(Row(*self.progress, self._learning_rate, loss, noise_loss, image_loss, None))
        scalars = {"training": loss, "noise": noise_loss, "image": image_loss}
        for name, value in scalars.items():
            self._log.add_scalar(f"loss/{name}", value, step)
        self._log.add_scalar("learning_rate", self._learning_rate, step)
        if self.guards is not None:
            self.guards.reported(step, loss)

    def look(self, *, fine: bool = True) -> float | None:
        """Tests on the held-out pictures and draws the sample sheet; returns the held-out loss."""
        loss, step = held_out_loss(self.diffusion, self.held_out), self.progress.step
        if loss is not None:
            self.history.append(Row(*self.progress, None, None, None, None, loss))
            self._log.add_scalar("loss/held_out", loss, step)
        try:
            images = self._drawn(fine).cpu()
        except Interrupted:
            return loss
        if self.guards is not None:
            self.guards.drawn(images, self.progress, name="sheet")
        sheet = pictures.grid(images if images.shape[1] <= 4 else images[:, :3])
        pictures.save_png(sheet, self._sheet)
        self._log.add_image("samples", np.asarray(sheet.convert("RGB")), step, dataformats="HWC")
        return loss

    def _drawn(self, fine: bool) -> Images:
        if self._draw is not None:
            return self._draw(fine)
        return draw_samples(self.diffusion.ema, self.run.config, range(len(SAMPLE_SEEDS)), fine=fine)

    @property
    def _sheet(self) -> Path:
        return self.run.samples / f"{self.progress.step:010d}.png"

    def write(self) -> None:
        """Writes the table of losses, and what the log still holds back."""
        write_table(self.run.path / "history.csv", Row, self.history)
        self._log.flush()

    def chart(self) -> None:
        """Draws the curve of losses, and what was measured of the samples."""
        points = [pictures.LossPoint(row.images, row.training_loss, row.held_out_loss) for row in self.history]
        pictures.save_png(pictures.loss_curve(points), self.run.path / "loss.png")
        if self.monitor is not None:
            self.monitor.draw()
