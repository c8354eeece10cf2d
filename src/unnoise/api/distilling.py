"""Distillation: a run that draws in two calls of its network, made from one that draws in many."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unnoise.api.effects import refuse_without_effect
from unnoise.api.reporting import Progress, reporting
from unnoise.api.stopping import StopSignals
from unnoise.utils.errors import require

if TYPE_CHECKING:
    from unnoise.api.opening import OpenRun


def distill(
    run: "OpenRun",
    *,
    out: str | Path | None = None,
    pictures: str | Path | None = None,
    minutes: float | None = None,
    steps: int | None = None,
    images: int | None = None,
    guidance: float | None = None,
    autoguidance: float | None = None,
    resume: bool = False,
    progress: Progress | None = None,
) -> "OpenRun":
    """Trains a run that draws in one or two calls of its network what this one draws in many.

    It starts from the averaged weights of this run, lets this run walk from noises to pictures, and learns to
    jump from any noise level to any lower one (see `diffusion.walks`). The pictures of the run only serve to
    measure the quality of samples. Ctrl-C saves; `resume` goes on.

    Args:
        run: what is distilled.
        out: Folder to write the new run into; by default that of the run with -few-steps behind it.
        pictures: The run's pictures, if they have moved.
        minutes: Train for this many minutes.
        steps: Train for this many steps instead of minutes.
        images: Train until this many pictures were seen, counting repeats, instead of minutes.
        guidance: Scale of the classifier-free guidance that is learned, so that one call draws as two did.
        autoguidance: Scale of guidance away from an earlier average of the run while it walks: the pictures to
            learn from are better than its own; 1 is none. By default that by which the run draws.
        resume: Go on with the run in --out.
        progress: called with the fraction that is done, and what is being done.

    Returns:
        The new run, open on the same device.

    Raises:
        UnnoiseError: for a run that cannot be distilled (see `runs.distillation`), pictures that are not those
            of the run, a folder that holds a run already, and one to go on with that came from another run.
        KeyboardInterrupt: where it was stopped before its first step.
    """
    from unnoise.api.opening import open_run
    from unnoise.api.train_run import train
    from unnoise.runs.distillation import knows_classes

    path = run.path.resolve()
    target = path.with_name(f"{path.name}-few-steps") if out is None else Path(out)
    budget: dict[str, Any] = {"minutes": minutes, "steps": steps, "images": images}
    scales = {"guidance": guidance, "autoguidance": autoguidance}
    if not knows_classes(run.config.recipe.network):
        refuse_without_effect({"guidance": guidance}, "on a run without classes", "Leave it out.")
    if resume:
        _require_same(open_run(target), run, scales)
    else:
        with reporting(progress), StopSignals(graceful=False) as stop:
            _create(run, target, pictures, budget, scales)
        if stop.received:
            raise KeyboardInterrupt  # `StopSignals` has said so
    source = open_run(target).config.data.source if pictures is None else pictures
    return train(source, out=target, device=run.device, resume=True, progress=progress, **budget)


def _require_same(there: "OpenRun", run: "OpenRun", scales: dict[str, float | None]) -> None:
    """Checks that a run to go on with came from this one, with these scales."""
    config, path = there.config, run.path.resolve()
    came_from = f"from {config.init}" if config.distilled else "is a run of its own"
    # Where no run lies at its old place any more, it may be this one, which was moved.
    same = config.init is not None and (Path(config.init).resolve() == path or not Path(config.init).exists())
    require(
        config.distilled and same,
        f"{there.path} was not distilled from {run.path}, but {came_from}. Name the folder of the distilled "
        "run with --out.",
    )
    learned = config.recipe.mean_velocity
    assert learned is not None
    assert learned.walking is not None
    kept = {"guidance": learned.guidance, "autoguidance": learned.walking.autoguidance}
    for name, scale in scales.items():
        require(
            scale in (None, kept[name]),
            f"{there.path} was started with --{name} {kept[name]:g}, but got {scale}. Leave --{name} out.",
        )


def _create(
    run: "OpenRun",
    target: Path,
    pictures: str | Path | None,
    budget: dict[str, Any],
    scales: dict[str, float | None],
) -> None:
    """Makes the new run, in the first process, once it is known that its pictures are those of the other."""
    from accelerate import PartialState

    from unnoise.api.loading import load_run_pictures, with_absolute_paths
    from unnoise.api.starting import require_not_among_pictures, require_startable, with_faster_precision
    from unnoise.api.train_options import train_options
    from unnoise.runs.checkpoint import Run
    from unnoise.runs.config import Budget
    from unnoise.runs.distillation import distilled_config
    from unnoise.runs.lock import lock_run
    from unnoise.runs.resume import with_same_pictures
    from unnoise.trainer.distributed import rank_0_first
    from unnoise.utils.precision import DeviceCapabilities

    processes = PartialState(cpu=run.torch_device.type == "cpu")
    with rank_0_first():
        if not processes.is_main_process:
            return
        require_startable(target, resume=False)
        require(
            run.folder.weights().is_file(),
            f"{run.path} has no weights to start from: train it first.",
        )
        config = distilled_config(run.folder, train_options(budget).budget or Budget(), **scales)
        source = str(config.data.source if pictures is None else pictures)
        require(bool(source), f"{run.path} does not say where its pictures are. Name them with --pictures.")
        require_not_among_pictures(source, target)
        with lock_run(target):  # another process may distil into the same folder
            config = with_same_pictures(config, load_run_pictures(config, source, labels=True))
            trains = DeviceCapabilities.of(run.torch_device)  # perhaps another device than the run's was
            config = replace(config, precision=trains.default_precision)
            if trains.type == "cpu":
                config = with_faster_precision(config)
            Run.create(target, with_absolute_paths(config, source))
