"""Training with progress: a bar or a line a minute, the newest sheet of samples, and the results."""

from collections.abc import Generator
from typing import TYPE_CHECKING

from unnoise.api.profile_report import step_profiler
from unnoise.api.reporting import Bar, progress_bar, reporter, tell, tell_picture, tell_result
from unnoise.api.starting import Start
from unnoise.api.stopping import StopSignals

if TYPE_CHECKING:
    from unnoise.data import ImageSet
    from unnoise.runs.checkpoint import Progress, Run
    from unnoise.runs.history import QualityRow
    from unnoise.trainer.train_step import TrainStep

_SECONDS = 0.5
"""Between two updates of the bar."""


def told_steps(
    run: "Run", images: "ImageSet", start: Start, stop: StopSignals, *, leads: bool
) -> "Generator[TrainStep, None, None]":
    """Trains with a bar, or a line a minute where there is none, until the end or until asked to stop."""
    from unnoise.runs.control import StopRequests, forget_requests
    from unnoise.trainer.compiler import TrainingCompiler
    from unnoise.trainer.loop import train as train_run

    progress, moving = _TrainingProgress(run), reporter().moving
    profiler = step_profiler(run, start.device) if start.profile and leads else None
    with progress_bar("Training", 1.0, hidden=not (moving and leads)) as bar:
        watch = profiler.watch if profiler else iter
        told = tell if leads else lambda _: None
        compiler = TrainingCompiler(start.compile, start.device.partition(":")[0], told)
        requests = StopRequests(run.path)

        def stopped() -> bool:
            if leads and not stop.received and requests.received:
                stop.received = True
                told(f"{stop.message}, as control.json asks.")
            return stop.received

        for step in train_run(run, images, start.device, stopped, watch, compiler):
            progress.tell(step, bar, lines=not moving)
            yield step
    if leads:
        forget_requests(run.path)
    if profiler is not None and not profiler.done:
        tell(
            f"No profile: it takes {profiler.needed} steps, but the run ended after {profiler.taken}. "
            "Give it a larger budget."
        )
    if leads and progress.last is None and not stop.received and not run.config.until_converged:
        tell("The budget of this run is already spent: give it a larger one to train on.")


class _TrainingProgress:
    """What is told of each step: speed, losses, the newest sheet of samples."""

    def __init__(self, run: "Run") -> None:
        self.last: Progress | None = None
        self._run, self._speed, self._held_out, self._quality = run, "", "", ""
        self._sheets = {*run.samples.glob("*.png")}

    def tell(self, step: "TrainStep", bar: Bar, *, lines: bool) -> None:
        """Tells the bar, and with `lines` a sentence a minute."""
        if step.held_out_loss is not None:
            self._held_out = f", held-out loss {step.held_out_loss:.4f}"
        if step.quality is not None:
            self._quality = f", KID-{step.quality.extractor} {step.quality.kid:.3g}"
        last = self.last
        if last is None or step.progress.seconds - last.seconds > _SECONDS or step.spent >= 1:
            if last is not None:
                seen, seconds = (now - then for now, then in zip(step.progress[1:], last[1:], strict=True))
                self._speed = f"{max(seen, 0) / max(seconds, 1e-9):,.0f} images/s, "
            self.last = step.progress
            loss = float(step.result.loss)
            bar.update(step.spent, f"{self._speed}loss {loss:.4f}{self._held_out}{self._quality}")
            self._tell_sheet()
        if step.line is not None and lines and step.progress.seconds >= 60:
            tell(f"Training: {step.line.sentence}")  # the results tell the end of a shorter run

    def _tell_sheet(self) -> None:
        """Tells the newest sheet of samples, where it is new."""
        sheets = {*self._run.samples.glob("*.png")}
        if sheets - self._sheets:
            tell_picture(max(sheets - self._sheets))
        self._sheets = sheets


def _about_copies(run: "Run", rows: "list[QualityRow]") -> str:
    """Sentence on the copies of training pictures that the last measurement found, and what helps."""
    from unnoise.trainer.monitoring import MAX_COPIED, best_step

    best = next(row for row in rows if row.step == best_step(rows))
    share = f"{rows[-1].copied:.0%} of the samples at step {rows[-1].step:,}"
    earlier = f" Those of step {best.step:,} are not: generate --best." if best.copied <= MAX_COPIED else ""
    return (
        f"{share} are copies of training pictures.{earlier} More pictures or less training make fewer; "
        f"unnoise evaluate {run.path} shows them."
    )


def tell_results(run: "Run", *, stopped: bool) -> None:
    """Tells what was written, and how to go on."""
    from unnoise.runs.history import read_measurements
    from unnoise.trainer.monitoring import MAX_COPIED, best_step, convergence_reason

    rows, levels = read_measurements(run.path)
    reason = convergence_reason(rows, levels)
    if reason and run.config.until_converged:
        tell(reason)
    if rows and rows[-1].copied > MAX_COPIED:
        tell(_about_copies(run, rows))
    if rows:
        tell_result(f"best samples (step {best_step(rows):,}; generate --best)", run.path / "best.safetensors")
    if stopped and not run.states():
        tell("Stopped before the first step: nothing was trained, and nothing is lost.")
        return
    if stopped:
        tell("Stopped and saved: the same command with --resume goes on.")
    sheets = sorted(run.samples.glob("*.png"))
    if sheets:
        tell_result("samples", sheets[-1])
    tell_result("loss curve", run.path / "loss.png")
    tell_result("run", run.path)
