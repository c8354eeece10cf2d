"""Autoguidance of a denoiser by a weaker one (Karras et al., 2024, 2406.02507)."""

from unnoise.diffusion.denoiser import Denoiser
from unnoise.diffusion.guidance import Autoguidance, Guidance
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
    classes = weak.abilities.num_classes
    require(
        classes in (0, denoiser.abilities.num_classes),
        f"The weaker network knows {classes} classes, but this one {denoiser.abilities.num_classes}. "
        "Choose one that knows the same, or none.",
    )
    weak_denoise_for = weak.denoise_for if classes else lambda _: weak.denoise_for(None)
    return denoiser.over(denoiser.network, autoguidance=Autoguidance(weak_denoise_for, guidance, name))
