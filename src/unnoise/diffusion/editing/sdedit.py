"""SDEdit: new versions of a picture, by adding noise and sampling from there (Meng et al., 2108.01073)."""

from collections.abc import Iterator

from unnoise.diffusion.samplers import Times, ddim, even_times, rates_at, time_grid
from unnoise.diffusion.samplers.sampling import Sampler
from unnoise.diffusion.schedules import OffsetCosine, Schedule
from unnoise.diffusion.tensors import Denoise, Images, Prediction, mix
from unnoise.utils.errors import require


def require_strength(strength: float) -> None:
    """Raises `UnnoiseError` for a strength outside [0, 1]."""
    require(
        0 <= strength <= 1,
        f"The strength goes from 0 (the same picture) to 1 (a new one), but got {strength:g}: try 0.5.",
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
    """SDEdit (2108.01073, algorithm 1): new versions of images, by the last round(strength K) of K steps.

        x_t = signal_rate * image + noise_rate * noise      at the time t where these steps start

    A lower strength keeps more of the image; large shapes are kept longer than details.

    Args:
        denoise: separates noisy images into noises and images.
        images: (B, C, H, W), normalised.
        noises: (B, C, H, W), N(0, 1); each noise gives another version.
        strength: 0 returns the images; 1 samples from `noises` alone and does not use the images.
        num_steps: K, the steps from pure noise; only round(strength K) are taken.
        schedule, times: as for `samplers.ddim`.
        sampler: takes these steps.

    Yields:
        `Prediction(noises, images)`, one a step. The images of the last are the result.

    Raises:
        UnnoiseError: for a strength outside [0, 1], or num_steps < 1.
    """
    require_strength(strength)
    grid = time_grid(num_steps, schedule, times)
    all_times = even_times(num_steps) if times is None else times
    left = round(strength * num_steps)
    if left == 0:
        yield Prediction(noises, images)
        return
    start = noises  # as in samplers, even if the schedule has signal left at t = 1
    if left < num_steps:
        start = mix(images, noises, *rates_at(grid, num_steps - left, images))
    yield from sampler(denoise, start, left, schedule, times=all_times[num_steps - left :])
