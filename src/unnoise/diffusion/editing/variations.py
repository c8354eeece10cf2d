r"""Variations of pictures and interpolation between pictures, by DDIM inversion and slerp of the noises.

variation = DDIM(slerp(inverted noises, other noises, amount))
"""

from collections.abc import Iterator

from unnoise.diffusion.editing.inversion import inverted_noises
from unnoise.diffusion.interpolation import path, slerp
from unnoise.diffusion.samplers import Times, ddim
from unnoise.diffusion.schedules import OffsetCosine, Schedule
from unnoise.diffusion.tensors import Denoise, Frames, Images, Prediction
from unnoise.utils.errors import require


def require_amount(amount: float) -> None:
    """Raises `UnnoiseError` for an amount outside [0, 1]."""
    require(
        0 <= amount <= 1,
        f"The amount of variation goes from 0 (the same picture) to 1 (another), but got {amount:g}: try 0.3.",
    )


def vary(
    denoise: Denoise,
    images: Images,
    noises: Frames,
    amount: float,
    num_steps: int = 50,
    schedule: Schedule = OffsetCosine(),  # noqa: B008 (frozen)
    *,
    times: Times | None = None,
) -> Iterator[Prediction]:
    """Variations of images: DDIM from their inverted noises, interpolated towards other noises by slerp.

    Args:
        denoise: separates noisy images into noises and images.
        images: (B, C, H, W), normalised.
        noises: (V B, C, H, W), N(0, 1), for V variations of each image, in the order of V repetitions of the
            batch.
        amount: 0 gives the images back, as exactly as `invert` does; 1 gives the pictures of `noises`.
        num_steps, schedule, times: as for `samplers.ddim`, for the inversion and for sampling.

    Yields:
        `Prediction(noises, images)` of V B images, num_steps times, after the inversion.

    Raises:
        UnnoiseError: for an amount outside [0, 1], or if the number of noises is no multiple of that of the
            images.
    """
    require_amount(amount)
    require(
        len(noises) >= len(images) and len(noises) % len(images) == 0,
        f"The number of noises must be a multiple of the number of images, but got {len(noises)} noises for "
        f"{len(images)} images.",
    )
    own = inverted_noises(denoise, images, num_steps, schedule, times=times)
    own = own.repeat(len(noises) // len(images), 1, 1, 1)
    interpolated = slerp(own, noises, noises.new_full((len(noises), 1, 1, 1), amount))
    yield from ddim(denoise, interpolated, num_steps, schedule, times=times)


def noises_between(
    denoise: Denoise,
    images: Images,
    frames: int,
    num_steps: int = 50,
    schedule: Schedule = OffsetCosine(),  # noqa: B008 (frozen)
    *,
    closed: bool = False,
    times: Times | None = None,
) -> Frames:
    """Noises interpolated between those of images, (frames, C, H, W); sample them by DDIM with the same steps.

    Args:
        denoise: separates noisy images into noises and images.
        images: (B, C, H, W), normalised, at least 2.
        frames, closed: as for `interpolation.path`.
        num_steps, schedule, times: as for `samplers.ddim`.

    Raises:
        UnnoiseError: as `interpolation.path`.
    """
    own = inverted_noises(denoise, images, num_steps, schedule, times=times)
    return path(own, frames, closed=closed)
