"""`unnoise train`: from pictures to a run."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, TypeAlias, TypeVar

from tyro.conf import Positional, arg

from unnoise.cli.announcing import announce, announce_choice
from unnoise.cli.console import Bar, result, say
from unnoise.cli.loading import load_pictures
from unnoise.cli.profiles import profiler, quieten, unfinished
from unnoise.cli.sizes import parse_colour, parse_size
from unnoise.cli.stopping import Stop
from unnoise.utils.errors import UnnoiseError

Value = TypeVar("Value")
Wish: TypeAlias = Annotated[Value | None, arg(metavar="N", help_behavior_hint="")]
Fit: TypeAlias = Annotated[Literal["crop", "pad"] | None, arg(help_behavior_hint="(default: crop)")]
Precision: TypeAlias = Annotated[
    Literal["float32", "bfloat16"] | None, arg(help_behavior_hint="(default: float32)")
]
Labels: TypeAlias = Annotated[str | None, arg(metavar="auto|FILE", help_behavior_hint="(default: none)")]

if TYPE_CHECKING:
    from collections.abc import Callable

    from unnoise.data import ImageSet
    from unnoise.runs.checkpoint import Run
    from unnoise.runs.config import Budget
    from unnoise.runs.plan import Wishes


class How(NamedTuple):
    """What is no part of a run's plan: it may be another each time that the run goes on."""

    profile: bool = False
    compile: bool = False


def train(
    source: Annotated[str, Positional, arg(metavar="SOURCE")],
    out: Annotated[Path | None, arg(metavar="DIR", help_behavior_hint="(default: runs/SOURCE)")] = None,
    minutes: Annotated[float | None, arg(metavar="N", help_behavior_hint="(default: 10)")] = None,
    steps: Wish[int] = None,
    images: Wish[int] = None,
    size: Annotated[str | None, arg(metavar="H[xW]", help_behavior_hint="(default: theirs, or 64)")] = None,
    channels: Annotated[int | None, arg(metavar="C", help_behavior_hint="(default: 3, or 1 if grey)")] = None,
    batch_size: Annotated[int | None, arg(metavar="B", help_behavior_hint="(default: the preset's)")] = None,
    preset: Annotated[str | None, arg(metavar="NAME", help_behavior_hint="(default: what suits)")] = None,
    seed: Annotated[int | None, arg(metavar="S", help_behavior_hint="(default: 0)")] = None,
    device: str = "auto",
    resume: bool = False,
    fit: Fit = None,
    background: Annotated[str | None, arg(metavar="COLOUR", help_behavior_hint="(default: white)")] = None,
    flip: bool = False,
    held_out: Annotated[int | None, arg(metavar="N", help_behavior_hint="(default: a 20th)")] = None,
    precision: Precision = None,
    accumulate: Annotated[int | None, arg(metavar="K", help_behavior_hint="(default: 1)")] = None,
    labels: Labels = None,
    until_converged: bool = False,
    set: Annotated[tuple[str, ...], arg(metavar="PATH=VALUE")] = (),  # noqa: A002 (that is its name)
    dry_run: bool = False,
    profile: bool = False,
    compile: bool = False,  # noqa: A002 (the same)
) -> None:
    """Trains a diffusion model on pictures, from scratch.

    Leaves a folder with the weights, sample sheets, the loss curve and a TensorBoard log. Ctrl-C (and SIGTERM,
    and SIGUSR1) saves and stops; the same command with --resume goes on, bit for bit.

    Args:
        source: A folder of images (with all its subfolders), a .zip, .npy, .npz or IDX file,
            or the name digits or fashion-mnist.
        out: The run's folder.
        minutes: Train this long: the learning rate reaches zero just then.
        steps: Train for this many steps instead.
        images: Train until this many images were seen instead.
        size: Height, or height x width, in pixels; the common size of the pictures up to 128, else 64.
        channels: 1 grey, 3 colour, 2 or 4 with transparency.
        batch_size: Images a step.
        preset: A whole recipe, as of unnoise presets; else the size that suits device, pictures and budget.
        seed: Of the first weights, the order of the pictures, and all noise.
        device: auto, cpu, cuda, cuda:1 or mps.
        resume: Go on with the run in --out.
        fit: How other shapes become this one: crop the middle, or pad with the background.
        background: Colour behind transparent pictures and around padded ones.
        flip: Mirror each picture left to right, half of the times.
        held_out: Pictures to test with instead of training on: one in 20, at most 1,000.
        precision: Of the network's arithmetic.
        accumulate: Take each batch in so many pieces: the same training in less memory.
        labels: Classes to learn: auto for those of the source (folders, IDX, .npz), or an IDX or .csv file.
        until_converged: Stop where neither samples nor held-out loss improve; --minutes then is the longest.
        set: Changes of the preset's recipe, such as objective.loss=l1 network.block=convnext.
        dry_run: Print the run's config.json, and stop.
        profile: Look at some early steps: where their time goes, a trace, and the part of the device's roof.
        compile: Compile the network first: some minutes, kept for the next start, for faster steps after them.
    """
    quieten()
    shape = {"size": parse_size(size), "channels": channels, "fit": fit, "labels": labels}
    cost = {"batch_size": batch_size, "precision": precision, "accumulate": accumulate, "seed": seed}
    data = {"flip": flip or None, "held_out": held_out, "background": parse_colour(background)}
    with Stop(patient=False) as stop:  # before anything that takes its time, such as importing PyTorch
        what = {"preset": preset, "changes": set or None, "until_converged": until_converged or None}
        wishes = _wishes(**shape, **cost, **data, **what, budget=_budget(minutes, steps, images))
        how = How(profile=profile, compile=compile)
        run_training(source, out, wishes, stop, device=device, resume=resume, dry_run=dry_run, how=how)


def _wishes(**wished: Any) -> "Wishes":  # noqa: ANN401 (Wishes knows their types)
    from unnoise.runs.plan import Wishes

    return Wishes(**wished)


def _budget(minutes: float | None, steps: int | None, images: int | None) -> "Budget | None":
    from unnoise.runs.config import Budget

    amounts: dict[Literal["minutes", "steps", "images"], float | None]
    amounts = {"minutes": minutes, "steps": steps, "images": images}
    given = [Budget(unit=unit, amount=float(n)) for unit, n in amounts.items() if n is not None]
    if len(given) > 1:
        named = " and ".join(f"--{budget.unit} {budget.amount:g}" for budget in given)
        raise UnnoiseError(f"A run has one budget, but got {named}: keep one of them.")
    return given[0] if given else None


def run_training(
    source: str,
    out: Path | None,
    wishes: "Wishes",
    stop: Stop,
    *,
    device: str = "auto",
    resume: bool = False,
    dry_run: bool = False,
    how: How = How(),  # noqa: B008 (immutable)
) -> "Run | None":
    """Loads the pictures, makes or reopens the run, and trains it with a progress bar."""
    from accelerate import PartialState

    from unnoise.training.loop import choose_device

    path = out or Path("runs") / Path(source).resolve().stem
    chosen = str(choose_device(device))
    if dry_run:
        _dry_run(source, path, wishes, chosen)
        return None
    processes = PartialState(cpu=chosen == "cpu")
    leads = processes.is_main_process
    try:
        with processes.main_process_first():
            # The first one has made it by the time that others open it.
            begin = _opened if not leads else _reopened if resume else _made
            run, images = begin(source, path, wishes, chosen)
        if leads:
            announce(images, run, chosen)
            _tell_of_a_single_process(processes.num_processes)
        _loop(run, images, chosen, stop, leads=leads, how=how)
        if leads:
            _farewell(run, stopped=stop.asked)
    finally:  # or the threads between the processes outlive the interpreter, and abort it
        processes.destroy_process_group()
    return run


def _tell_of_a_single_process(count: int) -> None:
    """Accelerate's own launcher starts one process on CPUs, whatever it is asked for, and says nothing."""
    if count == 1 and os.environ.get("ACCELERATE_USE_CPU", "").lower() == "true":
        say(
            "One process trains: `accelerate launch --cpu` starts no more, whatever --num_processes says. "
            "`torchrun --nproc_per_node 2 -m unnoise train ...` starts two."
        )


def _dry_run(source: str, path: Path, wishes: "Wishes", device: str) -> None:
    from unnoise.runs.checkpoint import Run
    from unnoise.runs.plan import plan

    Run.refuse_existing(path)
    images, kind = load_pictures(source, wishes), device.partition(":")[0]
    config = plan(images, wishes, kind)
    announce_choice(images, wishes, kind)
    print(config.to_json(), end="")


def _made(source: str, path: Path, wishes: "Wishes", device: str) -> "tuple[Run, ImageSet]":
    from unnoise.runs.checkpoint import Run
    from unnoise.runs.plan import plan
    from unnoise.utils.files import check_writable

    Run.refuse_existing(path)
    check_writable(path / "config.json")
    images, kind = load_pictures(source, wishes), device.partition(":")[0]
    run = Run.create(path, plan(images, wishes, kind))
    announce_choice(images, wishes, kind)
    return run, images


def _reopened(source: str, path: Path, wishes: "Wishes", _device: str) -> "tuple[Run, ImageSet]":
    from unnoise.runs.checkpoint import Run
    from unnoise.runs.plan import resumed, same_pictures

    run = Run.open(path)
    config = resumed(run.config, wishes)
    images = load_pictures(source, config)
    same_pictures(config, images)
    return run.with_config(config), images


def _opened(source: str, path: Path, _wishes: "Wishes", _device: str) -> "tuple[Run, ImageSet]":
    from unnoise.runs.checkpoint import Run

    run = Run.open(path)
    return run, load_pictures(source, run.config)


def _loop(run: "Run", images: "ImageSet", device: str, stop: Stop, *, leads: bool, how: How) -> None:
    """Trains with a progress bar, until the budget is spent or a signal asks to stop."""
    from unnoise.training.loop import train

    last, speed, held_out, quality = None, "", "", ""
    watching = profiler(run, device) if how.profile and leads else None
    with Bar("Training", 1.0, hidden=not leads) as shown:
        stop.patient = True
        watch, told = watching.watch if watching else iter, _compiling(leads=leads) if how.compile else None
        for step in train(run, images, device, lambda: stop.asked, watch, told):
            if step.held_out_loss is not None:
                held_out = f", held out {step.held_out_loss:.4f}"
            if step.quality is not None:
                quality = f", KID-{step.quality.extractor} {step.quality.kid:.3g}"
            if last is None or step.progress.seconds - last.seconds > 0.5 or step.spent >= 1:
                if last is not None:
                    seen, seconds = (now - then for now, then in zip(step.progress[1:], last[1:], strict=True))
                    speed = f"{max(seen, 0) / max(seconds, 1e-9):,.0f} images/s, "
                last = step.progress
                shown.show(step.spent, f"{speed}loss {float(step.result.loss):.4f}{held_out}{quality}")
    if watching is not None:
        unfinished(watching)
    if last is None and not stop.asked and not run.config.until_converged:
        say("The budget of this run is spent already: give it a larger one to go on.")


def _compiling(*, leads: bool) -> "Callable[[float], None]":
    """Says that the network is compiled; what hears how long it took says that, too."""

    def told(seconds: float) -> None:
        if leads:
            say(f"Compiled in {seconds:.0f} s, which are not of the budget; the next start finds it ready.")

    if leads:
        say("Compiling the network: this may take minutes where it is new.")
    return told


def _farewell(run: "Run", *, stopped: bool) -> None:
    from unnoise.training.monitoring import best_step, read_monitor, verdict

    rows, levels = read_monitor(run.path)
    reason = verdict(rows, levels)
    if reason and run.config.until_converged:
        say(reason)
    if rows:
        result(f"best samples (step {best_step(rows):,}; generate --best)", run.path / "best.safetensors")
    if stopped and not run.states():
        say("Stopped before the first step: nothing was trained, and nothing is lost.")
        return
    if stopped:
        say("Stopped and saved: the same command with --resume goes on.")
    sheets = sorted(run.samples.glob("*.png"))
    if sheets:
        result("samples", sheets[-1])
    result("loss curve", run.path / "loss.png")
    result("run", run.path)
