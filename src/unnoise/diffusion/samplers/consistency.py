"""Multistep consistency sampler (Song et al., 2303.01469)."""

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
    r"""Multistep consistency sampler (2303.01469, algorithm 1), by default at the times 1, 1 - 1/K, ..., 1/K.

        x_{t'} = alpha' x_0 + sigma' z,      z ~ N(0, 1)

    where x_0 is predicted by `denoise` from x_t; the paper's smallest noise level epsilon is 0 here. One call
    of `denoise` a step; with K = 1 the result is the prediction from pure noise. A consistency model maps x_t
    to the end of the probability flow, and its samples have the variance of the data for every K. A plain
    denoiser predicts the mean of the possible x_0, so that the variance is too low: for data N(mu, s^2) by the
    factor alpha^2 s^2 / (alpha^2 s^2 + sigma^2) at the last noise level of the grid.

    Args:
        denoise, noises, num_steps, schedule, times, draw_noises: as for `ddim`.

    Yields:
        `Prediction(noises, images)`, each (B, C, H, W), K times, as `denoise` returned it. The images of the
        last are the result.

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
