"""Autoguidance of a denoiser by a weaker one (Karras et al., 2024, 2406.02507)."""

from copy import copy
from typing import Any

from unnoise.diffusion.denoiser import Denoiser
from unnoise.diffusion.guidance import Autoguidance, Guidance
from unnoise.diffusion.tensors import Classes, Denoise
from unnoise.utils.errors import require


def guided_by(denoiser: Denoiser, weak: Denoiser, guidance: Guidance, name: str = "") -> Denoiser:
    """The same denoiser, guided away from the predictions of `weak` when it samples; see `guidance`.

    `weak` may have another network, schedule and objective: both predict at the same noise levels.

    Raises:
        UnnoiseError: when its images have another shape, another normalisation or other classes.
    """
    mine, its = tuple(denoiser.image_shape), tuple(weak.image_shape)
    require(
        its == mine,
        f"The weaker network draws images of (channels, height, width) {its}, but this one {mine}. Choose a "
        "run on the same pictures.",
    )
    require(
        weak.normalizer == denoiser.normalizer,
        f"The weaker network normalises images by {weak.normalizer}, but this one by {denoiser.normalizer}. "
        "Choose a run on the same pictures.",
    )
    classes, theirs = weak.abilities.num_classes, weak.abilities.clusters
    require(
        theirs is not None or classes in (0, denoiser.abilities.num_classes),
        f"The weaker network knows {classes} classes, but this one {denoiser.abilities.num_classes}. "
        "Choose one that knows the same, or none.",
    )

    ours = denoiser.abilities.clusters
    # Neither clusters of other pictures nor classes in place of clusters mean anything to it.
    tells = classes > 0 and (ours is None if theirs is None else theirs.same_as(ours))

    def weak_denoise_for(told: Classes | None, *, like: Denoiser, ends_of: Any, **how: bool) -> Denoise:  # noqa: ANN401
        """Of the same precision, and in pieces of the same size, as the better one."""
        other = copy(weak)
        other.precision, other.pieces = like.precision, like.pieces
        ends_of = ends_of if weak.abilities.step_length else None
        return other.denoise_for(told if tells else None, ends_of=ends_of, **how)

    return denoiser.over(denoiser.network, autoguidance=Autoguidance(weak_denoise_for, guidance, name))
