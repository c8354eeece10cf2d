r"""A picture that is noised only in part keeps its large forms, and is drawn anew in its details.

start from signal_k image + noise_k noise at t_k, and sample from there (SDEdit, 2108.01073, algorithm 1)

The later the start, the more of the picture stays.
"""

from collections.abc import Iterator

from unnoise.diffusion.editing.walks import Sampler, grid_times
from unnoise.diffusion.samplers import Times, ddim, rates_at, time_grid
from unnoise.diffusion.schedules import OffsetCosine, Schedule
from unnoise.diffusion.tensors import Denoise, Images, Prediction, mix
from unnoise.utils.errors import require


def require_strength(strength: float) -> None:
    """Raises `UnnoiseError` outside [0, 1]."""
    require(
        0 <= strength <= 1,
        f"strength goes from 0 (the picture as it is) to 1 (a new one), but got {strength:g}: try 0.5.",
    )


def redraw(
    denoise: Denoise,
    images: Images,
    noises: Images,
    strength: float,
    num_steps: int = 20,
    schedule: Schedule = OffsetCosine(),  # noqa: B008 (frozen)
    *,
    sampler: Sampler = ddim,
    times: Times | None = None,
) -> Iterator[Prediction]:
    """New versions of images, by the last round(strength K) of a sampler's K steps.

    Args:
        denoise: separates noisy images into noises and images.
        images: (B, C, H, W), normalised.
        noises: (B, C, H, W), N(0, 1): other noises give other versions.
        strength: 0 returns the images; 1 is the sampler from `noises` alone, and the images play no part.
        num_steps: K, of the whole way; only strength K of them cost a call of `denoise`.
        schedule, times: as for `samplers.ddim`.
        sampler: takes the steps.

    Yields:
        `Prediction(noises, images)`, once for each step; the images of the last are the result.

    Raises:
        UnnoiseError: for a strength outside [0, 1], or num_steps < 1.
    """
    require_strength(strength)
    grid, whole = time_grid(num_steps, schedule, times), grid_times(num_steps, times)
    left = round(strength * num_steps)
    if left == 0:
        yield Prediction(noises, images)
        return
    start = noises  # taken as they are, as samplers do, although the schedule may keep some signal there
    if left < num_steps:
        start = mix(images, noises, *rates_at(grid, num_steps - left, images))
    yield from sampler(denoise, start, left, schedule, times=whole[num_steps - left :])
