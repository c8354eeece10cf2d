"""Training with messages and a progress bar, as `unnoise train` and `unnoise demo` run it."""

import os
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from unnoise.cli.console import ProgressBar, amount, count, error_console, print_message, print_result, table
from unnoise.cli.loading import load_pictures, load_run_pictures, with_absolute_paths
from unnoise.cli.stopping import StopSignals
from unnoise.cli.streams import guarded_output

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from accelerate import PartialState

    from unnoise.data import ImageSet
    from unnoise.runs.checkpoint import Run
    from unnoise.runs.plan import TrainOptions
    from unnoise.training.profiling import StepProfile, StepProfiler

_NAMED_FILES = 10
_NOTEWORTHY = 0.05
"""A larger share of a step than this is worth a message."""


class Invocation(NamedTuple):
    """Options of one start of `unnoise train` that are no part of the run, so each start may have others."""

    device: str = "auto"
    resume: bool = False
    dry_run: bool = False
    profile: bool = False
    compile: bool = False


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
    from unnoise.training.loop import choose_device

    path = out or Path("runs") / Path(source).resolve().stem
    device = str(choose_device(start.device))
    if start.dry_run:
        _print_config(source, path, options, device)
        return None
    processes = PartialState(cpu=device == "cpu")
    leads = processes.is_main_process
    with _ending(processes), guarded_output(needed=False), ExitStack() as held:
        with processes.main_process_first():
            if leads:
                _require_startable(path, resume=start.resume)
                held.enter_context(lock_run(path))
            # The first process has created the run by the time that the others open it.
            begin = _open_as_is if not leads else _reopen if start.resume else _create
            run, images = begin(source, path, options, device)
        if leads:
            _announce(images, run, device)
            _warn_of_one_process(processes.num_processes)
        _train(run, images, device, stop, start, leads=leads)
        if leads:
            _print_results(run, stopped=stop.received)
    return run


@contextmanager
def _ending(processes: "PartialState") -> "Iterator[None]":
    """Context that ends the threads between the processes, which would outlive the interpreter and abort it."""
    from unnoise.training.distributed import end_process_group

    try:
        yield
    finally:
        end_process_group(processes)


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

    Run.refuse_existing(path)
    images, kind = load_pictures(source, options), device.partition(":")[0]
    config = with_absolute_paths(plan(images, options, kind), source)
    _announce_preset(images, options, kind)
    print(config.to_json(), end="")


def _create(source: str, path: Path, options: "TrainOptions", device: str) -> "tuple[Run, ImageSet]":
    from unnoise.runs.checkpoint import Run
    from unnoise.runs.plan import plan
    from unnoise.utils.errors import require

    require(
        Path(source).expanduser().resolve() != path.resolve() or source in {"digits", "fashion-mnist"},
        f"The run would be written among the pictures, into {path}: choose another folder with --out, such as "
        f"{path / 'run'}.",
    )
    images, kind = load_pictures(source, options), device.partition(":")[0]
    run = Run.create(path, with_absolute_paths(plan(images, options, kind), source))
    _announce_preset(images, options, kind)
    return run, images


def _reopen(source: str, path: Path, options: "TrainOptions", _device: str) -> "tuple[Run, ImageSet]":
    from unnoise.runs.checkpoint import Run
    from unnoise.runs.plan import resume_config, with_same_pictures

    run = Run.open(path)
    run.require_resumable()  # again: others may have written there until it was locked
    config = resume_config(run.config, options)
    images = load_run_pictures(config, source, labels=True, strict=bool(options.strict_labels))
    config = with_same_pictures(config, images)
    return run.with_config(with_absolute_paths(config, source)), images


def _open_as_is(source: str, path: Path, _options: "TrainOptions", _device: str) -> "tuple[Run, ImageSet]":
    from unnoise.runs.checkpoint import Run

    run = Run.open(path)
    return run, load_run_pictures(run.config, source, labels=True)


def _announce_preset(images: "ImageSet", options: "TrainOptions", device_type: str) -> None:
    """Prints which preset was chosen and why, unless it was named."""
    from unnoise.runs.plan import default_preset

    choice = default_preset(images, options, device_type)
    if choice is not None:
        print_message(f"Preset {choice.name}: {choice.why}")


def _announce(images: "ImageSet", run: "Run", device: str) -> None:
    """Prints which files were skipped, what will be trained, and what the data doctor warns of."""
    from unnoise.utils.files import atomic_write

    for skipped in images.skipped[:_NAMED_FILES]:
        print_message(f"Skipped {skipped.name}: {skipped.reason}")
    if images.skipped:
        with atomic_write(run.path / "skipped.txt") as file:
            file.write_text("".join(f"{one.name}: {one.reason}\n" for one in images.skipped), "utf-8")
    if len(images.skipped) > _NAMED_FILES:
        left = count(len(images.skipped) - _NAMED_FILES, "more file")
        print_message(f"... and {left} could not be read; {run.path / 'skipped.txt'} lists all of them.")
    config = run.config
    classes = f", {len(config.data.classes):,} classes" if config.data.classes else ""
    print_message(
        f"{count(len(images), 'picture')} of {images.height} x {images.width}, "
        f"{count(images.channels, 'channel')}{classes}, {config.data.held_out:,} of them held out for tests. "
        f"Training preset {config.preset} on {device} for {amount(config.budget.amount, config.budget.unit)}, "
        f"into {run.path}."
    )
    if config.init is not None and not run.states():
        print_message(f"Starting from the averaged weights of {config.init}.")
    if not run.states():  # a resumed run has printed this already
        from unnoise.reports.doctor import brief_findings

        for sentence in brief_findings(images, config):
            print_message(sentence)


def _warn_of_one_process(processes: int) -> None:
    """Accelerate's own launcher starts one process on CPUs, whatever it is asked for, and says nothing."""
    if processes == 1 and os.environ.get("ACCELERATE_USE_CPU", "").lower() == "true":
        print_message(
            "Only one process trains: `accelerate launch --cpu` ignores --num_processes. "
            "`torchrun --nproc_per_node 2 -m unnoise train ...` starts two."
        )


def _train(
    run: "Run", images: "ImageSet", device: str, stop: StopSignals, start: Invocation, *, leads: bool
) -> None:
    """Trains with a progress bar, until the budget is spent or a signal asks to stop."""
    from unnoise.training.loop import train

    last, speed, held_out, quality = None, "", "", ""
    profiler = _profiler(run, device) if start.profile and leads else None
    with ProgressBar("Training", 1.0, hidden=not leads) as bar:
        stop.graceful = True
        watch = profiler.watch if profiler else iter
        compiled = _announce_compiling(leads=leads) if start.compile else None
        for step in train(run, images, device, lambda: stop.received, watch, compiled):
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
    if profiler is not None and not profiler.done:
        print_message(
            f"No profile: it takes {profiler.needed} steps, but the run ended after {profiler.taken}. "
            "Give it a larger budget."
        )
    if last is None and not stop.received and not run.config.until_converged:
        print_message("The budget of this run is already spent: give it a larger one to train on.")


def _announce_compiling(*, leads: bool) -> "Callable[[float], None]":
    """Prints that the network is being compiled; returns what prints how long it took."""

    def compiled(seconds: float) -> None:
        if leads:
            print_message(
                f"Compiled in {seconds:.0f} s, which do not count towards the budget; the next start reuses it."
            )

    if leads:
        print_message("Compiling the network: this can take minutes the first time.")
    return compiled


def _print_results(run: "Run", *, stopped: bool) -> None:
    from unnoise.runs.history import read_measurements
    from unnoise.training.monitoring import best_step, convergence_reason

    rows, levels = read_measurements(run.path)
    reason = convergence_reason(rows, levels)
    if reason and run.config.until_converged:
        print_message(reason)
    if rows:
        print_result(f"best samples (step {best_step(rows):,}; generate --best)", run.path / "best.safetensors")
    if stopped and not run.states():
        print_message("Stopped before the first step: nothing was trained, and nothing is lost.")
        return
    if stopped:
        print_message("Stopped and saved: the same command with --resume goes on.")
    sheets = sorted(run.samples.glob("*.png"))
    if sheets:
        print_result("samples", sheets[-1])
    print_result("loss curve", run.path / "loss.png")
    print_result("run", run.path)


def silence_profiler() -> None:
    """Keeps PyTorch's profiler from logging, unless the user set its level; before PyTorch is imported."""
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")


def _profiler(run: "Run", device: str) -> "StepProfiler":
    import torch

    from unnoise.training.profiling import StepProfiler

    return StepProfiler(run.path / "profile", torch.device(device), run.config.precision, _print_profile)


def _print_profile(profile: "StepProfile") -> None:
    """Prints a table of where the time of a step goes, and the share of the device's peak speed."""
    rows = table("time of a training step", "ms", "%")
    whole = sum(profile.kinds.values())
    for kind, spent in profile.kinds.items():
        rows.add_row(kind, f"{spent:.2f}", f"{spent / whole:.1%}".rstrip("%"))
    rows.add_row("all", f"{whole:.2f}", "100")
    error_console().print(rows)
    for sentence in profile_sentences(profile):
        print_message(sentence)
    if profile.trace is not None:
        print_result("profile (open it in ui.perfetto.dev)", Path(profile.trace))


def profile_sentences(profile: "StepProfile") -> list[str]:
    """The speed of a step, and what holds it up."""
    told = [
        f"Without the profiler a step takes {profile.milliseconds:.1f} ms for {profile.gigaflops:.3g} GFLOP: "
        f"{profile.speed:,.0f} GFLOP/s, {profile.peak_share:.0%} of the {profile.peak:,.0f} that a large "
        "matrix product reaches on this device."
    ]
    if profile.idle is not None and profile.idle > _NOTEWORTHY:
        told.append(
            f"The device is idle for {profile.idle:.0%} of a step, because Python is slower: a larger "
            "--batch-size, or --compile, keeps it busy."
        )
    waits = "waits for them" if profile.data > _NOTEWORTHY else "does not wait for them"
    told.append(f"Loading the pictures takes {profile.data:.1%} of a step: training {waits}.")
    return told
