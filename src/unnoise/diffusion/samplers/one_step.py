"""One call draws the picture; what it got wrong is drowned in fresh noise and drawn again."""

from collections.abc import Callable, Iterator

import torch

from unnoise.diffusion.samplers.grid import Times, gaussian, rates_at, time_grid
from unnoise.diffusion.schedules import OffsetCosine, Schedule
from unnoise.diffusion.tensors import Denoise, Images, Prediction, mix


def consistency(
    denoise: Denoise,
    noises: Images,
    num_steps: int = 1,
    schedule: Schedule = OffsetCosine(),  # noqa: B008 (frozen)
    *,
    times: Times | None = None,
    draw_noises: Callable[[], Images] | None = None,
) -> Iterator[Prediction]:
    r"""Multistep consistency sampling (2303.01469, algorithm 1), on t = 1, 1 - 1/K, ..., 1/K.

        x_{t'} = alpha' x_0 + sigma' z,      z ~ N(0, 1)

    where x_0 is what `denoise` sees in x_t, and the paper's epsilon, the level where its function ends, is 0.
    With K = 1 the picture is what is seen in pure noise. A consistency model jumps to the end of the
    probability flow and has the right spread in any number of steps. A plain denoiser gives the mean of all
    that x_t may have been, whose variance is lower: for data N(mu, s^2), and x_t with the right spread, by the
    factor alpha^2 s^2 / (alpha^2 s^2 + sigma^2) at the last level of the grid.

    Args:
        denoise, num_steps, schedule, times, draw_noises: as for `samplers.ddim`.
        noises: (B, C, H, W), N(0, 1): taken as they are for x at t = 1.

    Yields:
        `Prediction(noises, images)`, K times, as `denoise` gave it; the images of the last are the result.

    Raises:
        UnnoiseError: for num_steps < 1.
    """
    grid = time_grid(num_steps, schedule, times)
    draw = draw_noises or gaussian(noises)
    noisy_images = noises
    for step in range(num_steps):
        with torch.no_grad():
            prediction = denoise(noisy_images, *rates_at(grid, step, noises))
        yield prediction
        if step + 1 < num_steps:
            noisy_images = mix(prediction.images, draw(), *rates_at(grid, step + 1, noises))
