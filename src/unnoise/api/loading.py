"""Loading what a command works with: the pictures of a source, and a run's denoiser."""

import re
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from unnoise.api.effects import refuse_without_effect
from unnoise.api.reporting import reporter, tell
from unnoise.utils.errors import UnnoiseError, require

if TYPE_CHECKING:
    from unnoise.api.opening import OpenRun
    from unnoise.data import ImageSet
    from unnoise.diffusion.denoiser import Denoiser
    from unnoise.diffusion.samplers.sampling import Sampling
    from unnoise.runs.config import RunConfig
    from unnoise.runs.plan import TrainOptions


def load_pictures(source: str, settings: "TrainOptions") -> "ImageSet":
    """The pictures of a source, in the shape that was asked for, with labels if they were.

    Raises:
        UnnoiseError: for pictures that cannot be read, or ways to read them that do not apply to them.
    """
    from unnoise.data import load

    images = load(
        source,
        size=settings.size,
        channels=settings.channels,
        fit=settings.fit or "crop",
        background=settings.background or (255, 255, 255),
        ranges=settings.ranges,
        layout=settings.layout,
        strict_labels=bool(settings.strict_labels),
        split_folders=bool(settings.split_folders),
        **parse_labels(settings.labels),
        progress=reporter().reading,
    )
    place = Path(source).expanduser()
    if not place.is_file() or place.suffix.lower() == ".zip":
        refuse_without_effect({"layout": settings.layout}, f"here: {source} is not one array")
    if not images.ranges:
        refuse_without_effect({"range": settings.ranges}, "here: all of these pictures have 8 bits")
    _announce_reading(images)
    return images


def _announce_reading(images: "ImageSet") -> None:
    """Prints what was left out, and how arrays, deep values and broken colour profiles were read."""
    from unnoise.data import ranges_text

    for sentence in (images.left_out, *images.notes, ranges_text(images.ranges)):
        if sentence:
            tell(sentence)


def load_run_pictures(
    config: "RunConfig", source: str | None = None, *, labels: bool = False, strict: bool = False
) -> "ImageSet":
    """The run's pictures, or those of another source, in the shape of the run's; with its labels if wanted.

    `strict` refuses pictures without a class.
    """
    from unnoise.data import absolute_source, load

    data = config.data
    if source is None and not data.source:
        raise UnnoiseError(
            "This run was imported or downloaded, and has no pictures of its own. Name some: a folder after "
            "RUN, as in unnoise evaluate RUN PICTURES, or picture files instead of --held-out."
        )
    place = absolute_source(data.source)
    if source is None and place != data.source and not Path(place).exists():  # a run of an older unnoise
        raise UnnoiseError(
            f"This run was trained on {data.source!r}, a path below the folder where it was started, and there "
            "is no such path here. Run the command in that folder, or name the pictures after RUN."
        )
    images = load(
        source or data.source,
        size=(data.height, data.width),
        channels=data.channels,
        fit=data.fit,
        background=data.background,
        ranges=data.ranges or None,
        layout=data.layout if source is None or absolute_source(source) == place else None,
        strict_labels=strict,
        split_folders=labels and bool(data.held_out_ranges),
        **parse_labels(data.labels if labels else None),
        progress=reporter().reading,
    )
    if images.left_out:
        tell(images.left_out)
    return images


class LabelChoice(TypedDict):
    """The arguments of `load` for labels."""

    labels: bool | Path
    label_level: int | None


_AUTO = re.compile(r"auto(?::(.*))?", re.DOTALL)


def parse_labels(option: str | None) -> LabelChoice:
    """What `load` takes for --labels: nothing, `auto`, `auto:2` (the level of folders) or a file.

    Raises:
        UnnoiseError: for a level that is no whole number from 1.
    """
    auto = _AUTO.fullmatch(option or "")
    if option is None or auto is None:
        return {"labels": False if option is None else Path(option), "label_level": None}
    level = auto[1]
    require(
        level is None or re.fullmatch(r"0*[1-9][0-9]{0,5}", level) is not None,
        f"--labels auto:N takes the level of the folders, 1 for the first in which the pictures differ, 2 for "
        f"the one below, but got {option!r}. Try auto:2.",
    )
    return {"labels": True, "label_level": None if level is None else int(level)}


@dataclass(frozen=True)
class DenoiserOptions:
    """Options of what draws: which weights, what guides them, and whether they are compiled.

    Args:
        best: the weights with the best samples so far, instead of the last ones.
        autoguidance: scale of guidance away from a weaker version of the run, 1 for none; by default the run's
            own.
        weak: that version; see `autoguidance.weaker_of`.
        compiled: whether networks are compiled.
    """

    best: bool = False
    autoguidance: float | None = None
    weak: str | None = None
    compiled: bool = False

    def scale(self, run: "OpenRun") -> float:
        """Of autoguidance; 1 is none."""
        from unnoise.runs.autoguidance import own_scale

        return own_scale(run.folder, best=self.best) if self.autoguidance is None else self.autoguidance

    def load(self, run: "OpenRun", sampling: "Sampling", num_images: int) -> "Denoiser":
        """The denoiser for this sampling, compiled for batches of `num_images` if it is.

        Raises:
            UnnoiseError: for a weaker version that guides nothing, or what cannot be loaded.
        """
        from unnoise.runs.autoguidance import load_as_it_draws

        scale = self.scale(run)
        if scale == 1:
            remedy = "Add --autoguidance 2, or leave it out."
            refuse_without_effect({"weak": self.weak}, "without --autoguidance of a scale other than 1", remedy)
        denoiser = load_as_it_draws(
            run.folder,
            run.torch_device,
            best=self.best,
            scale=scale,
            weak=self.weak,
            sampling=sampling,
            prepare=partial(_compiled, num_images=num_images) if self.compiled else lambda one: one,
        )
        if denoiser.autoguidance is not None and self.autoguidance is not None:
            tell(f"Autoguidance of scale {scale:g}, away from {denoiser.autoguidance.name}.")
        return denoiser


def _compiled(denoiser: "Denoiser", num_images: int) -> "Denoiser":
    """The denoiser with its network compiled, or as it is, with a message, where that fails."""
    from unnoise.runs.compiling import compiled

    tell("Compiling the network; this takes a minute or more.")
    try:
        return compiled(denoiser, num_images)
    except UnnoiseError as error:
        tell(f"{error} Going on without compiling.")
        return denoiser


def with_absolute_paths(config: "RunConfig", source: str) -> "RunConfig":
    """The configuration with the paths of pictures and labels as they are right in every folder."""
    from unnoise.data import absolute_source

    labels = config.data.labels
    if labels is not None and not _AUTO.fullmatch(labels):
        labels = absolute_source(labels)
    return replace(config, data=replace(config.data, source=absolute_source(source), labels=labels))
