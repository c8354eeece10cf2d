"""What a command works with: pictures as they were wished for, and the network that draws."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from unnoise.cli.console import say
from unnoise.utils.errors import UnnoiseError

if TYPE_CHECKING:
    from unnoise.data import ImageSet
    from unnoise.diffusion.denoiser import Denoiser
    from unnoise.diffusion.guidance import Guidance
    from unnoise.runs.checkpoint import Run
    from unnoise.runs.config import RunConfig
    from unnoise.runs.plan import Wishes


def opened_run(path: "Path") -> "Run":
    """The run in this folder."""
    from unnoise.runs.checkpoint import Run

    return Run.open(path)


def as_trained(run: "Run", source: str | None = None) -> "ImageSet":
    """The run's pictures, or those of another source, read as the run's were."""
    from unnoise.data import load

    data = run.config.data
    return load(
        source or data.source,
        size=(data.height, data.width),
        channels=data.channels,
        fit=data.fit,
        background=data.background,
        progress=True,
    )


def load_pictures(source: str, wanted: "Wishes | RunConfig") -> "ImageSet":
    """The pictures of a source as they were wished for, or as a run has them, with labels if it has any."""
    from unnoise.data import load
    from unnoise.runs.config import RunConfig

    if isinstance(wanted, RunConfig):
        data = wanted.data
        return load(
            source,
            size=(data.height, data.width),
            channels=data.channels,
            fit=data.fit,
            background=data.background,
            labels=_labels(data.labels),
            progress=True,
        )
    return load(
        source,
        size=wanted.size,
        channels=wanted.channels,
        fit=wanted.fit or "crop",
        background=wanted.background or (255, 255, 255),
        labels=_labels(wanted.labels),
        progress=True,
    )


def _labels(wish: str | None) -> bool | Path:
    return wish is not None if wish in {None, "auto"} else Path(wish)


def load(
    run: "Run",
    device: str,
    guidance: "Guidance",
    autoguidance: float | None = None,
    weak: str | None = None,
    *,
    compile_for: int | None = None,
    best: bool = False,
) -> "Denoiser":
    """The run's diffusion; with autoguidance of this scale, elsewhere as `guidance`; compiled for such batches.

    Says what a person would want to know of it.
    """
    from unnoise.training.loop import choose_device

    denoiser = run.load(choose_device(device), best=best)
    weaker = None
    if autoguidance is not None:
        from unnoise.runs.autoguidance import guided_by, weaker_of

        guidance = replace(guidance, scale=autoguidance)
        weaker = weaker_of(run, weak, denoiser.device)
        say(f"Autoguidance {autoguidance:g}, away from {weaker.name}.")
        denoiser = guided_by(denoiser, weaker.denoiser, guidance)
    elif weak is not None:
        say("--weak has no effect here: it belongs to --autoguidance.")
    if compile_for is not None:
        denoiser = _compiled(denoiser, compile_for)
        if weaker is not None and autoguidance != 1:
            denoiser = guided_by(denoiser, _compiled(weaker.denoiser, compile_for), guidance)
    return denoiser


def _compiled(denoiser: "Denoiser", num_images: int) -> "Denoiser":
    """The diffusion with its network compiled; where that can't be, as it is, and says why."""
    from unnoise.runs.compiling import compiled

    say("Compiling the network: this takes a minute or more.")
    try:
        return compiled(denoiser, num_images)
    except UnnoiseError as error:
        say(f"{error} Going on without.")
        return denoiser
