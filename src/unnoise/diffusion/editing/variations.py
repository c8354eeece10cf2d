r"""Near the noises of a picture lie the noises of pictures like it, and between those of two the way.

variation = DDIM(slerp(inverted noises, other noises, amount))

Both are walks on the sphere of noises, as those between seeds are.
"""

from collections.abc import Iterator

from unnoise.diffusion.editing.inversion import inverted_noises
from unnoise.diffusion.interpolation import path, slerp
from unnoise.diffusion.samplers import Times, ddim
from unnoise.diffusion.schedules import OffsetCosine, Schedule
from unnoise.diffusion.tensors import Denoise, Frames, Images, Prediction
from unnoise.utils.errors import require


def require_amount(amount: float) -> None:
    """Raises `UnnoiseError` outside [0, 1]."""
    require(
        0 <= amount <= 1,
        f"An amount of variation goes from 0 (the same picture) to 1 (another), but got {amount:g}: try 0.3.",
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
    """Pictures like the images: their noises are turned, on the sphere, towards others, and drawn by DDIM.

    Args:
        denoise: separates noisy images into noises and images.
        images: (B, C, H, W), normalised.
        noises: (V B, C, H, W), N(0, 1): V variations of each image, all images V times over.
        amount: 0 gives back the images as exactly as `invert` does, 1 the pictures of `noises`.
        num_steps, schedule, times: as for `samplers.ddim`, for the way there and back.

    Yields:
        `Prediction(noises, images)` of V B pictures, num_steps times, after the images are inverted.

    Raises:
        UnnoiseError: for an amount outside [0, 1], or noises that are no multiple of the images.
    """
    require_amount(amount)
    require(
        len(noises) >= len(images) and len(noises) % len(images) == 0,
        f"Each image has as many noises as the next, but got {len(noises)} noises for {len(images)} images.",
    )
    own = inverted_noises(denoise, images, num_steps, schedule, times=times)
    own = own.repeat(len(noises) // len(images), 1, 1, 1)
    turned = slerp(own, noises, noises.new_full((len(noises), 1, 1, 1), amount))
    yield from ddim(denoise, turned, num_steps, schedule, times=times)


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
    """The noises on the way from image to image, (frames, C, H, W): DDIM of the same steps draws the way.

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
