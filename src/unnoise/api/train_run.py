"""Training from pictures and options, with messages and progress: in one call, or step by step."""

import inspect
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from unnoise.api.effects import refuse_without_effect
from unnoise.api.pictures import Pictures
from unnoise.api.profile_report import silence_profiler
from unnoise.api.reporting import Progress, reporting, speaks_for_all, tell_output
from unnoise.api.starting import (
    Start,
    announce,
    create,
    new_config,
    open_as_is,
    pictures_of,
    reopen,
    require_startable,
    started,
    warn_of_one_process,
)
from unnoise.api.stopping import StopSignals
from unnoise.api.training_progress import tell_results, told_steps
from unnoise.api.words import Colour, Range, Size
from unnoise.utils.errors import require

if TYPE_CHECKING:
    from unnoise.api.opening import OpenRun
    from unnoise.runs.config import RunConfig
    from unnoise.trainer.train_step import TrainStep

Precision = Literal["float32", "tf32", "bfloat16"]


def train(
    pictures: Pictures | str | Path,
    *,
    out: str | Path | None = None,
    minutes: float | None = None,
    steps: int | None = None,
    images: int | None = None,
    size: Size | None = None,
    channels: int | None = None,
    batch_size: int | None = None,
    preset: str | None = None,
    seed: int | None = None,
    device: str = "auto",
    resume: bool = False,
    init: str | Path | None = None,
    fit: Literal["crop", "pad"] | None = None,
    background: Colour | None = None,
    range: Range = (),  # noqa: A002 (that is its name)
    layout: str | None = None,
    flip: bool = False,
    noise_shift: float | str | None = None,
    held_out: int | None = None,
    precision: Precision | None = None,
    accumulate: int | None = None,
    split_folders: bool = False,
    deterministic: bool = False,
    checkpoint_activations: bool = False,
    labels: str | Path | None = None,
    strict_labels: bool = False,
    until_converged: bool = False,
    set: Sequence[str] = (),  # noqa: A002 (that is its name)
    profile: bool = False,
    compile: bool | None = None,  # noqa: A002 (that is its name)
    progress: Progress | None = None,
) -> "OpenRun":
    """Trains a diffusion model on pictures, from scratch, and writes a run.

    Ctrl-C saves and returns the run; `OpenRun.resume` goes on.

    Args:
        pictures: a folder of pictures (with its subfolders), a .zip, .npy, .npz or IDX file, or one of the
            names digits and fashion-mnist; or what `load` returned.
        out: Folder to write the run into.
        minutes: Train for this many minutes; the learning rate falls to zero by then.
        steps: Train for this many steps instead of minutes.
        images: Train until this many pictures were seen, counting repeats, instead of minutes.
        size: Height, or height x width, in pixels, of all pictures.
        channels: 1 grey, 3 colour, 2 or 4 with transparency.
        batch_size: Pictures in each training step. Less needs less memory.
        preset: The recipe: network, schedule and all other settings. `unnoise presets` lists them.
        seed: Seed of the first weights, the order of the pictures and all noise.
        device: auto, cpu, cuda, cuda:1 or mps. auto uses a GPU if there is one.
        resume: Go on with the run in --out. Repeat the options it was started with, or leave them out.
        init: Start from the averaged weights of this run (fine-tuning) and, without --preset, with its recipe.
        fit: For pictures of another shape: crop to the middle, or pad with --background.
        background: Colour behind transparent pictures and around padded ones: a name or #rrggbb.
        range: Values that are black and white, of pictures with more than 8 bits and of arrays of numbers: two
            numbers, or percentiles for the 0.1st and 99.9th of all values.
        layout: Axes of an array: N pictures, H rows, W columns, C channels.
        flip: Mirror each picture left to right half of the time. For pictures that may be mirrored.
        noise_shift: More noise, for larger pictures: noise / signal times X; size takes the mean side / 32.
        held_out: How many pictures are not trained on, but kept to test with.
        precision: Precision of the network's arithmetic; weights stay in float32. The default is bfloat16 on
            CUDA GPUs that compute it, tf32 (float32 with TF32 products) on others, float32 on MPS, and on CPUs
            what a rehearsed step shows to be faster.
        accumulate: Split each batch into this many parts: the same training in less memory, but slower. Where
            memory runs out, a run doubles it by itself.
        split_folders: Learn from the folder train (or training), and hold out test, val and the like.
        deterministic: On CUDA, take deterministic kernels alone: equal seeds then give equal bits, but slower.
        checkpoint_activations: Compute activations again in the backward pass instead of keeping them: the same
            training in much less memory, for about a third more time. For deep networks and large pictures.
        labels: Learn classes: auto takes them from the source (subfolders, IDX, .npz), auto:2 from the folders
            a level below; or an IDX or .csv file.
        strict_labels: Refuse pictures without a class; otherwise they are learned from without one.
        until_converged: Stop as soon as neither samples nor the held-out loss improve; --minutes is then the
            longest it may take (480 if left out).
        set: Change settings of the preset, for example objective.loss=l1 network.block=convnext. --dry-run
            shows all of them.
        profile: Measure some early steps: where their time goes, and a trace to look at in ui.perfetto.dev.
        compile: whether the network is compiled first, for faster steps on a GPU; by default there, where the
            budget is long enough for that to pay.
        progress: called with the fraction that is done, and what is being done.

    Returns:
        The run, open on the same device.

    Raises:
        UnnoiseError: for pictures that can't be read, options that contradict each other, a folder that holds a
            run already.
        KeyboardInterrupt: where it was stopped before its first step.
    """
    silence_profiler()  # before PyTorch is imported
    given = {name: value for name, value in locals().items() if name not in {"pictures", "progress"}}
    with reporting(progress), StopSignals(graceful=False) as stop:  # before what is slow, as importing PyTorch
        return _last(_trained(started(pictures, given), stop))
    raise KeyboardInterrupt  # `StopSignals` ended the block, and has said so


class Training(Iterator["TrainStep"]):
    """The steps of a training, for a loop of one's own.

    Everything is saved after the last step, and when Ctrl-C ends the loop. To leave the loop earlier, use
    `break` and then `close()`, which saves; the end of a `with` block calls it.
    """

    def __init__(
        self,
        steps: "Generator[TrainStep, None, OpenRun]",
        start: Start,
        stop: StopSignals,
        follow: Progress | None,
    ) -> None:
        self._steps, self._start, self._stop, self._follow = steps, start, stop, follow

    def __next__(self) -> "TrainStep":
        with reporting(self._follow), self._stop:
            step = next(self._steps)
        return step  # noqa: RET504 (the block may be left otherwise)

    def __enter__(self) -> "Training":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Saves, and ends the training."""
        self._steps.close()

    @property
    def run(self) -> "OpenRun":
        """The run, as it was saved last."""
        from unnoise.api.opening import open_run

        return open_run(self._start.path, self._start.device)


def training(pictures: Pictures | str | Path, **options: Any) -> Training:  # noqa: ANN401
    """Trains step by step, for those who want their own loop. Options are those of `train`.

        with training("photos", minutes=10) as steps:
            for step in steps:
                print(step.progress.step, float(step.result.loss))
        steps.run.generate(16)

    Each step has `result` (loss, noise_loss, image_loss), `progress` (step, images, seconds), `spent` (the
    fraction of the budget), and, where it was measured, `held_out_loss` and `quality`.
    """
    known = _defaults()
    for name in options:
        require(name in known, f"There is no option {name!r}: choose from {', '.join(sorted(known))}.")
    follow = options.pop("progress", None)
    start = started(pictures, _defaults() | options)
    stop = StopSignals()
    return Training(_trained(start, stop), start, stop, follow)


def resume(
    run: "OpenRun",
    pictures: Pictures | str | Path | None = None,
    **options: Any,  # noqa: ANN401
) -> "OpenRun":
    """Trains a run further, and returns it.

    Args:
        run: the run.
        pictures: its pictures, if they have moved.
        options: `minutes`, `steps` or `images`: how much more than it was trained until now. Without one of
            these it goes on to the end of its budget. Others are those of `train`.

    Raises:
        UnnoiseError: as `train`; for a run whose saved states are lost, and pictures that are not its own.
    """
    source = run.config.data.source if pictures is None else pictures
    require(
        bool(source),
        "This run was imported or downloaded, and has no pictures of its own. Name some: "
        "resume(pictures, minutes=10).",
    )
    spent = run.folder.saved_progress()
    for unit, already in (("steps", spent.step), ("images", spent.images), ("minutes", spent.seconds / 60)):
        if options.get(unit) is not None:
            options[unit] += already
    given: dict[str, Any] = {"out": run.path, "device": run.device, "resume": True} | options
    return train(source, **given)


def planned(
    pictures: Pictures | str | Path,
    *,
    unused: Mapping[str, object] | None = None,
    **options: Any,  # noqa: ANN401
) -> "RunConfig":
    """All settings of a new run that `train` would write with these options; trains and writes nothing.

    So the folder may hold a run already. `unused` are options of a command that have no effect here; they are
    refused.
    """
    of_training = {name: options.pop(name, None) for name in ("resume", "profile", "compile")}
    refuse_without_effect(
        of_training | dict(unused or {}), "with --dry-run, which shows a new run and trains nothing"
    )
    start = started(pictures, _defaults() | options)
    return new_config(start, pictures_of(start))


def tell_config(config: "RunConfig") -> None:
    """Tells all settings, as in config.json; of several processes only one does."""
    if speaks_for_all():
        tell_output(config.to_json().rstrip("\n"))


def _defaults() -> dict[str, Any]:
    """The options of `train`, with their defaults."""
    every = inspect.signature(train).parameters.values()
    return {one.name: one.default for one in every if one.default is not one.empty}


def _last(steps: "Generator[TrainStep, None, OpenRun]") -> "OpenRun":
    """Takes all steps; returns what the generator returns."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            run: OpenRun = end.value
            return run


def _trained(start: Start, stop: StopSignals) -> "Generator[TrainStep, None, OpenRun]":
    """Loads the pictures, creates or reopens the run, and trains it."""
    from accelerate import PartialState

    from unnoise.api.opening import OpenRun
    from unnoise.runs.checkpoint import Run
    from unnoise.runs.lock import lock_run
    from unnoise.trainer.distributed import end_process_group, rank_0_first

    processes = PartialState(cpu=start.device == "cpu")
    leads = processes.is_main_process
    stop.graceful = stop.graceful or not leads  # the first process stops the others
    with ExitStack() as held:
        # Ends the threads between the processes, which would outlive the interpreter and abort it.
        held.callback(end_process_group, processes)
        with rank_0_first():  # decoding all pictures may take hours
            if leads:
                require_startable(start.path, resume=start.resume)
                held.enter_context(lock_run(start.path))
                run, images = (reopen if start.resume else create)(start)
                announce(images, run, start)
                warn_of_one_process(processes.num_processes)
                stop.graceful = True  # before the others go on: from now on it tells them when to stop
            else:  # by now the first process has created the run
                run, images = open_as_is(start)
        yield from told_steps(run, images, start, stop, leads=leads)
        if leads:
            tell_results(run, stopped=stop.received)
    return OpenRun(Run.open(run.path), start.device)  # anew, for training ends by finding the polish
