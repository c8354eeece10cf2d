"""Training with messages and a progress bar, as `unnoise train` and `unnoise demo` run it."""

import os
import warnings
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from unnoise.api.loading import load_pictures, load_run_pictures, with_absolute_paths
from unnoise.api.profile_report import step_profiler
from unnoise.api.reporting import amount, count, progress_bar, reporter, tell, tell_output, tell_result
from unnoise.api.stopping import StopSignals

if TYPE_CHECKING:
    from unnoise.data import ImageSet
    from unnoise.runs.checkpoint import Run
    from unnoise.runs.config import RunConfig
    from unnoise.runs.plan import TrainOptions
    from unnoise.trainer.compiler import CompileChoice
    from unnoise.utils.precision import Precision

_NAMED_FILES = 10


class Invocation(NamedTuple):
    """Options of one start of `unnoise train` that are no part of the run, so each start may have others."""

    device: str = "auto"
    resume: bool = False
    dry_run: bool = False
    profile: bool = False
    compile: "CompileChoice" = "auto"


def run_training(
    source: str,
    out: Path | None,
    options: "TrainOptions",
    stop: StopSignals,
    start: Invocation = Invocation(),  # noqa: B008
) -> "Run | None":
    """Loads the pictures, creates or reopens the run, and trains it; returns None for a dry run."""
    from accelerate import PartialState

    from unnoise.runs.lock import lock_run
    from unnoise.trainer.distributed import end_process_group, number_of_devices, rank_0_first
    from unnoise.trainer.loop import choose_device

    path = out or Path("runs") / Path(source).resolve().stem
    device = str(choose_device(start.device))
    options = replace(options, devices=number_of_devices(device.partition(":")[0]))
    if start.dry_run:
        if os.environ.get("RANK", "0") == "0":
            _print_config(source, path, options, device)
        return None
    processes = PartialState(cpu=device == "cpu")
    leads = processes.is_main_process
    with ExitStack() as held:
        # Ends the threads between the processes, which would outlive the interpreter and abort it.
        held.callback(end_process_group, processes)
        with rank_0_first():  # decoding all pictures may take hours
            if leads:
                _require_startable(path, resume=start.resume)
                held.enter_context(lock_run(path))
                run, images = (_reopen if start.resume else _create)(source, path, options, device)
            else:  # by now the first process has created the run
                run, images = _open_as_is(source, path)
        if leads:
            devices = options.devices or 1
            _announce(images, run, device if devices == 1 else f"{devices} x {device.partition(':')[0]}")
            _warn_of_one_process(processes.num_processes)
        _train(run, images, device, stop, start, leads=leads)
        if leads:
            _print_results(run, stopped=stop.received)
    return run


def _require_startable(path: Path, *, resume: bool) -> None:
    """Checks that there is a run to go on with, or that a new one can be made here."""
    from unnoise.runs.checkpoint import Run
    from unnoise.utils.files import check_writable

    if resume:
        Run.open(path).require_resumable()
    else:
        Run.refuse_existing(path)
        check_writable(path / "config.json")


def _print_config(source: str, path: Path, options: "TrainOptions", device: str) -> None:
    from unnoise.runs.checkpoint import Run
    from unnoise.runs.plan import plan
    from unnoise.utils.precision import DeviceCapabilities

    Run.refuse_existing(path)
    images, trains = load_pictures(source, options), DeviceCapabilities.of(device)
    config = with_absolute_paths(plan(images, options, trains), source)
    _announce_plan(images, options, trains.type, config)
    tell_output(config.to_json().rstrip("\n"))


def _create(source: str, path: Path, options: "TrainOptions", device: str) -> "tuple[Run, ImageSet]":
    from unnoise.runs.checkpoint import Run
    from unnoise.runs.plan import plan
    from unnoise.utils.errors import require
    from unnoise.utils.precision import DeviceCapabilities

    require(
        Path(source).expanduser().resolve() != path.resolve() or source in {"digits", "fashion-mnist"},
        f"The run would be written among the pictures, into {path}: choose another folder with --out, such as "
        f"{path / 'run'}.",
    )
    images, trains = load_pictures(source, options), DeviceCapabilities.of(device)
    run = Run.create(path, with_absolute_paths(plan(images, options, trains), source))
    _announce_plan(images, options, trains.type, run.config)
    return run, images


def _reopen(source: str, path: Path, options: "TrainOptions", _device: str) -> "tuple[Run, ImageSet]":
    from unnoise.runs.checkpoint import Run
    from unnoise.runs.resume import resume_config, with_same_pictures

    run = Run.open(path)
    run.require_resumable()  # again: others may have written there until it was locked
    config = resume_config(run.config, options)
    images = load_run_pictures(config, source, labels=True, strict=bool(options.strict_labels))
    config = with_same_pictures(config, images)
    return run.with_config(with_absolute_paths(config, source)), images


def _open_as_is(source: str, path: Path) -> "tuple[Run, ImageSet]":
    """The run and its pictures, of which the first process has warned."""
    from unnoise.runs.checkpoint import Run

    run = Run.open(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return run, load_run_pictures(run.config, source, labels=True)


def _announce_plan(images: "ImageSet", options: "TrainOptions", device_type: str, config: "RunConfig") -> None:
    """Prints which preset was chosen and why, and into how many pieces batches are cut, unless it was named."""
    from unnoise.runs.plan import default_preset

    choice = default_preset(images, options, device_type)
    if choice is not None:
        tell(f"Preset {choice.name}: {choice.why}")
    if options.accumulate is None and config.accumulate > 1:
        tell(
            f"Batches of {config.recipe.batch_size} go through the network in {config.accumulate} pieces "
            f"(--accumulate {config.accumulate}), to fit into this machine's memory."
        )


def _announce(images: "ImageSet", run: "Run", device: str) -> None:
    """Prints which files were skipped, what will be trained, and what the data doctor warns of."""
    from unnoise.utils.files import atomic_write

    for skipped in images.skipped[:_NAMED_FILES]:
        tell(f"Skipped {skipped.name}: {skipped.reason}")
    if images.skipped:
        with atomic_write(run.path / "skipped.txt") as file:
            file.write_text("".join(f"{one.name}: {one.reason}\n" for one in images.skipped), "utf-8")
    if len(images.skipped) > _NAMED_FILES:
        left = count(len(images.skipped) - _NAMED_FILES, "more file")
        tell(f"... and {left} could not be read; {run.path / 'skipped.txt'} lists all of them.")
    config = run.config
    classes = f", {len(config.data.classes):,} classes" if config.data.classes else ""
    tell(
        f"{count(len(images), 'picture')} of {images.height} x {images.width}, "
        f"{count(images.channels, 'channel')}{classes}, {config.data.held_out:,} of them held out for tests. "
        f"Training preset {config.preset} on {device} in {config.precision} for "
        f"{amount(config.budget.amount, config.budget.unit)}, into {run.path}."
    )
    _announce_precision(config.precision, device, resumed=bool(run.states()))
    if config.init is not None and not run.states():
        tell(f"Starting from the averaged weights of {config.init}.")
    if not run.states():  # a resumed run has printed this already
        from unnoise.reports.doctor import brief_findings

        for sentence in brief_findings(images, config):
            tell(sentence)


def _announce_precision(precision: "Precision", device: str, *, resumed: bool) -> None:
    """Says so where a run goes on in another precision than it would have begun with here."""
    from unnoise.utils.precision import DeviceCapabilities

    default = DeviceCapabilities.of(device).default_precision
    if resumed and precision != default:
        tell(
            f"The run keeps the precision that it was started with, {precision}; a new one would train in "
            f"{default} on {device}."
        )


def _warn_of_one_process(processes: int) -> None:
    """Accelerate's own launcher starts one process on CPUs, whatever it is asked for, and says nothing."""
    if processes == 1 and os.environ.get("ACCELERATE_USE_CPU", "").lower() == "true":
        tell(
            "Only one process trains: `accelerate launch --cpu` ignores --num_processes. "
            "`torchrun --nproc_per_node 2 -m unnoise train ...` starts two."
        )


def _train(
    run: "Run", images: "ImageSet", device: str, stop: StopSignals, start: Invocation, *, leads: bool
) -> None:
    """Trains with a progress bar, or a line a minute where there is no terminal, until the end or a signal."""
    from unnoise.trainer.compiler import TrainingCompiler
    from unnoise.trainer.loop import train

    last, speed, held_out, quality = None, "", "", ""
    profiler = step_profiler(run, device) if start.profile and leads else None
    with progress_bar("Training", 1.0, hidden=not ((moving := reporter().moving) and leads)) as bar:
        stop.graceful = True
        watch = profiler.watch if profiler else iter
        compiler = TrainingCompiler(start.compile, device.partition(":")[0], tell if leads else lambda _: None)
        for step in train(run, images, device, lambda: stop.received, watch, compiler):
            if step.held_out_loss is not None:
                held_out = f", held-out loss {step.held_out_loss:.4f}"
            if step.quality is not None:
                quality = f", KID-{step.quality.extractor} {step.quality.kid:.3g}"
            if last is None or step.progress.seconds - last.seconds > 0.5 or step.spent >= 1:
                if last is not None:
                    seen, seconds = (now - then for now, then in zip(step.progress[1:], last[1:], strict=True))
                    speed = f"{max(seen, 0) / max(seconds, 1e-9):,.0f} images/s, "
                last = step.progress
                bar.update(step.spent, f"{speed}loss {float(step.result.loss):.4f}{held_out}{quality}")
            if step.line is not None and not moving and step.progress.seconds >= 60:
                tell(f"Training: {step.line.sentence}")  # the results tell the end of a shorter run
    if profiler is not None and not profiler.done:
        tell(
            f"No profile: it takes {profiler.needed} steps, but the run ended after {profiler.taken}. "
            "Give it a larger budget."
        )
    if last is None and not stop.received and not run.config.until_converged:
        tell("The budget of this run is already spent: give it a larger one to train on.")


def _print_results(run: "Run", *, stopped: bool) -> None:
    from unnoise.runs.history import read_measurements
    from unnoise.trainer.monitoring import best_step, convergence_reason

    rows, levels = read_measurements(run.path)
    reason = convergence_reason(rows, levels)
    if reason and run.config.until_converged:
        tell(reason)
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
