"""Start of a training: parses options, loads pictures, creates or reopens the run, and announces it."""

import os
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unnoise.api.effects import is_given, refuse_without_effect
from unnoise.api.loading import load_pictures, load_run_pictures, with_absolute_paths
from unnoise.api.pictures import Pictures
from unnoise.api.reporting import amount, count, tell
from unnoise.api.train_options import train_options
from unnoise.utils.errors import require

if TYPE_CHECKING:
    from unnoise.data import ImageSet
    from unnoise.runs.checkpoint import Run
    from unnoise.runs.config import RunConfig
    from unnoise.runs.plan import TrainOptions
    from unnoise.trainer.compiler import CompileChoice

_NAMED_FILES = 10


@dataclass(frozen=True)
class Start:
    """One start of training: what is trained on, into which folder, and how."""

    source: str
    path: Path
    options: "TrainOptions"
    device: str
    resume: bool = False
    profile: bool = False
    compile: "CompileChoice" = "auto"
    images: "ImageSet | None" = None
    """The pictures, where they are loaded already."""


def started(pictures: Pictures | str | Path, words: dict[str, Any]) -> Start:
    """The start that was asked for, its options parsed."""
    from unnoise.trainer.distributed import number_of_devices
    from unnoise.trainer.loop import choose_device

    images, source = None, str(pictures)
    if isinstance(pictures, Pictures):
        read = {name: value for name, value in words.items() if name in pictures.words and is_given(value)}
        refuse_without_effect(read, "on pictures that are loaded already", "Name it where they are loaded.")
        images, source, words = pictures.images, pictures.source, {**words, **pictures.words}
    options = train_options(words, resumes=words["resume"])
    device = str(choose_device(words["device"]))
    options = replace(options, devices=number_of_devices(device.partition(":")[0]))
    place = Path(source).resolve()
    named = place.name if place.is_dir() else place.stem
    path = Path("runs") / named if words["out"] is None else Path(words["out"])
    choice: CompileChoice = {None: "auto", True: "always", False: "never"}[words["compile"]]  # type: ignore[assignment]
    return Start(source, path, options, device, words["resume"], words["profile"], choice, images)


def require_startable(path: Path, *, resume: bool) -> None:
    """Checks that there is a run to go on with, or that a new one can be made here."""
    from unnoise.runs.checkpoint import Run
    from unnoise.utils.files import check_writable

    if resume:
        Run.open(path).require_resumable()
    else:
        Run.refuse_existing(path)
        check_writable(path / "config.json")


def require_not_among_pictures(source: str, path: Path) -> None:
    """Checks that a new run is not written into the folder of its pictures."""
    require(
        Path(source).expanduser().resolve() != path.resolve() or source in {"digits", "fashion-mnist"},
        f"The run would be written among the pictures, into {path}: choose another folder with --out, such as "
        f"{path / 'run'}.",
    )


def pictures_of(start: Start) -> "ImageSet":
    """The pictures of a start."""
    return load_pictures(start.source, start.options) if start.images is None else start.images


def create(start: Start) -> "tuple[Run, ImageSet]":
    """Makes a new run for the pictures of a start."""
    from unnoise.runs.checkpoint import Run

    require_not_among_pictures(start.source, start.path)
    images = pictures_of(start)
    return Run.create(start.path, new_config(start, images)), images


def new_config(start: Start, images: "ImageSet") -> "RunConfig":
    """The configuration of a new run; tells what was chosen for it."""
    from unnoise.runs.plan import plan
    from unnoise.utils.precision import DeviceCapabilities

    options, trains = start.options, DeviceCapabilities.of(start.device)
    config = with_absolute_paths(plan(images, options, trains), start.source)
    announce_plan(images, options, trains.type, config)
    if trains.type == "cpu" and options.precision is None:
        config = with_faster_precision(config)
    return config


def with_faster_precision(config: "RunConfig") -> "RunConfig":
    """The configuration in the precision in which this machine's CPU is faster; tells why."""
    from unnoise.trainer.precision_choice import choose_precision

    choice = choose_precision(config)
    if choice.why:
        tell(choice.why)
    return replace(config, precision=choice.precision)


def reopen(start: Start) -> "tuple[Run, ImageSet]":
    """Opens the run that goes on, and its pictures, which are still the same."""
    from unnoise.runs.checkpoint import Run
    from unnoise.runs.resume import resume_config, with_same_pictures

    source, options = start.source, start.options
    run = Run.open(start.path)
    run.require_resumable()  # again: others may have written there until it was locked
    config = resume_config(run.config, options)
    images = load_run_pictures(config, source, labels=True, strict=bool(options.strict_labels))
    config = with_same_pictures(config, images)
    return run.with_config(with_absolute_paths(config, source)), images


def open_as_is(start: Start) -> "tuple[Run, ImageSet]":
    """The run and its pictures, of which the first process has warned."""
    from unnoise.runs.checkpoint import Run

    run = Run.open(start.path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return run, load_run_pictures(run.config, start.source, labels=True)


def announce_plan(images: "ImageSet", options: "TrainOptions", device_type: str, config: "RunConfig") -> None:
    """Prints which preset was chosen and why, and into how many pieces batches are cut, unless it was named."""
    from unnoise.runs.plan import default_preset

    choice = default_preset(images, options, device_type)
    if choice is not None:
        tell(f"Preset {choice.name}: {choice.why}")
    if options.accumulate is None and config.accumulate > 1:
        tell(
            f"Batches of {config.recipe.batch_size} go through the network in {config.accumulate} pieces "
            f"(--accumulate {config.accumulate}), to spare this machine's memory."
        )


def announce(images: "ImageSet", run: "Run", start: Start) -> None:
    """Prints which files were skipped, what will be trained, and what the data doctor warns of."""
    from unnoise.utils.files import atomic_write

    devices = start.options.devices or 1
    place = start.device if devices == 1 else f"{devices} x {start.device.partition(':')[0]}"
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
    classes = f", {config.num_clusters} clusters" if config.num_clusters else classes
    tell(
        f"{count(len(images), 'picture')} of {images.height} x {images.width}, "
        f"{count(images.channels, 'channel')}{classes}, {config.data.held_out:,} of them held out for tests. "
        f"Training preset {config.preset} on {place} in {config.precision} for "
        f"{amount(config.budget.amount, config.budget.unit)}, into {run.path}."
    )
    _announce_precision(config, start.device, resumed=bool(run.states()))
    if config.init is not None and not run.states():
        tell(f"Starting from the averaged weights of {config.init}.")
    if config.distilled and run.states():
        tell("First the walks that it learns from are taken again. That may take minutes, which do not count.")
    if not run.states():  # a resumed run has printed this already
        from unnoise.reports.doctor import brief_findings

        for sentence in brief_findings(images, config):
            tell(sentence)


def _announce_precision(config: "RunConfig", device: str, *, resumed: bool) -> None:
    """Says so where a run goes on in another precision than it would have begun with here, or in a slow one."""
    from unnoise.utils.precision import DeviceCapabilities, bfloat16_is_fast

    default, precision = DeviceCapabilities.of(device).default_precision, config.precision
    halves = precision == "bfloat16" and device == "cpu"
    if halves and bfloat16_is_fast():
        return
    if resumed and precision != default:
        tell(
            f"The run keeps the precision that it was started with, {precision}; a new one would train in "
            f"{default} on {device}."
        )
    if halves:
        remedy = " Leave --precision out."
        if resumed:  # no run begins with the weights of one that jumps
            remedy = "" if config.distilled else " A new run may begin with its weights: --init RUN --out NEW."
        tell(f"For bfloat16 this processor takes up to 200 times as long as for float32.{remedy}")


def warn_of_one_process(processes: int) -> None:
    """Accelerate's own launcher starts one process on CPUs, whatever it is asked for, and says nothing."""
    if processes == 1 and os.environ.get("ACCELERATE_USE_CPU", "").lower() == "true":
        tell(
            "Only one process trains: `accelerate launch --cpu` ignores --num_processes. "
            "`torchrun --nproc_per_node 2 -m unnoise train ...` starts two."
        )
