"""Loading what a command works with: the pictures of a source, and a run's denoiser."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from unnoise.cli.console import print_message
from unnoise.utils.errors import UnnoiseError

if TYPE_CHECKING:
    from unnoise.data import ImageSet
    from unnoise.diffusion.denoiser import Denoiser
    from unnoise.diffusion.guidance import Guidance
    from unnoise.runs.checkpoint import Run
    from unnoise.runs.config import RunConfig
    from unnoise.runs.plan import TrainOptions


def load_pictures(source: str, settings: "TrainOptions") -> "ImageSet":
    """The pictures of a source, in the shape that was asked for, with labels if they were."""
    from unnoise.data import load

    images = load(
        source,
        size=settings.size,
        channels=settings.channels,
        fit=settings.fit or "crop",
        background=settings.background or (255, 255, 255),
        ranges=settings.ranges,
        layout=settings.layout,
        labels=_labels(settings.labels),
        progress=True,
    )
    _announce_reading(images, settings)
    return images


def _announce_reading(images: "ImageSet", settings: "TrainOptions") -> None:
    """Prints what was left out, and how arrays, deep values and broken colour profiles were read."""
    from unnoise.data import ranges_text

    for sentence in (images.left_out, *images.notes, ranges_text(images.ranges)):
        if sentence:
            print_message(sentence)
    if settings.ranges is not None and not images.ranges:
        print_message("--range has no effect: all of these pictures have 8 bits.")


def load_run_pictures(config: "RunConfig", source: str | None = None, *, labels: bool = False) -> "ImageSet":
    """A run's pictures, or those of another source, in the shape of the run's; with its labels if wanted."""
    from unnoise.data import absolute_source, load

    data = config.data
    place = absolute_source(data.source)
    if source is None and place != data.source and not Path(place).exists():  # a run of an older unnoise
        raise UnnoiseError(
            f"This run was trained on {data.source!r}, a path below the folder where it was started; there is "
            "no such path here. Start the command in that folder, or name the pictures where they are taken."
        )
    images = load(
        source or data.source,
        size=(data.height, data.width),
        channels=data.channels,
        fit=data.fit,
        background=data.background,
        ranges=data.ranges or None,
        layout=data.layout if source is None or source == data.source else None,
        labels=_labels(data.labels) if labels else False,
        progress=True,
    )
    if images.left_out:
        print_message(images.left_out)
    return images


def _labels(option: str | None) -> bool | Path:
    return option is not None if option in {None, "auto"} else Path(option)


def load_denoiser(
    run: "Run",
    device: str,
    guidance: "Guidance",
    autoguidance: float | None = None,
    weak: str | None = None,
    *,
    compile_for: int | None = None,
    best: bool = False,
) -> "Denoiser":
    """A run's denoiser; with autoguidance of this scale, and compiled for batches of this size, if wanted."""
    from unnoise.training.loop import choose_device

    denoiser = run.load(choose_device(device), best=best)
    weaker = None
    if autoguidance is not None:
        from unnoise.runs.autoguidance import guided_by, weaker_of

        guidance = replace(guidance, scale=autoguidance)
        weaker = weaker_of(run, weak, denoiser.device)
        print_message(f"Autoguidance of scale {autoguidance:g}, away from {weaker.name}.")
        denoiser = guided_by(denoiser, weaker.denoiser, guidance)
    elif weak is not None:
        print_message("--weak has no effect without --autoguidance.")
    if compile_for is not None:
        denoiser = _compiled(denoiser, compile_for)
        if weaker is not None and autoguidance != 1:
            denoiser = guided_by(denoiser, _compiled(weaker.denoiser, compile_for), guidance)
    return denoiser


def _compiled(denoiser: "Denoiser", num_images: int) -> "Denoiser":
    """The denoiser with its network compiled, or as it is, with a message, where that fails."""
    from unnoise.runs.compiling import compiled

    print_message("Compiling the network; this takes a minute or more.")
    try:
        return compiled(denoiser, num_images)
    except UnnoiseError as error:
        print_message(f"{error} Going on without compiling.")
        return denoiser


def with_absolute_paths(config: "RunConfig", source: str) -> "RunConfig":
    """The configuration with the paths of pictures and labels as they are right in every folder."""
    from unnoise.data import absolute_source

    labels = config.data.labels
    if labels not in {None, "auto"}:
        labels = absolute_source(labels)
    return replace(config, data=replace(config.data, source=absolute_source(source), labels=labels))
