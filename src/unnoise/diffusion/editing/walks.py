r"""An edit walks along the grid of times that samplers walk along, or along the rest of it.

t_0 = 1 > t_1 > ... > t_K = 0,      noisy_images_k = signal_k images + noise_k noises

So every edit works with any schedule, continuous or on a table.
"""

from collections.abc import Callable, Iterator
from typing import TypeAlias

import torch

from unnoise.diffusion.samplers import Times, require_steps, time_grid
from unnoise.diffusion.schedules import RatePair, Schedule
from unnoise.diffusion.tensors import Prediction

Sampler: TypeAlias = Callable[..., Iterator[Prediction]]
"""`(denoise, noisy_images, num_steps, schedule, *, times) -> Iterator[Prediction]`, such as `ddim`; choices of
its own are bound before, as in `partial(ddim, eta=1.0)`."""


def grid_times(num_steps: int, times: Times | None = None) -> Times:
    """The K + 1 times of `samplers.time_grid`, written out: those that are given, or 1, 1 - 1 / K, ..., 0.

    Raises:
        UnnoiseError: for fewer than one step.
    """
    require_steps(num_steps)
    return 1 - torch.arange(num_steps + 1, dtype=torch.float64) / num_steps if times is None else times


def image_grid(num_steps: int, schedule: Schedule, times: Times | None = None) -> RatePair:
    """The rates of `samplers.time_grid`, but with the image itself at the end: noise 0, signal 1.

    A sampler's result is the image that its last call sees, not x at t = 0. So its last step ends without
    noise, whatever the schedule still holds there (the offset cosine of the book 0.31).
    """
    noise_rates, signal_rates = (rates.clone() for rates in time_grid(num_steps, schedule, times))
    noise_rates[-1], signal_rates[-1] = 0, 1
    return RatePair(noise_rates, signal_rates)
