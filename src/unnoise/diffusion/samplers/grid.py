"""Time grid of a sampler: the noise and signal rates at each of its steps."""

from collections.abc import Callable, Iterable, Iterator
from typing import TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor

from unnoise.diffusion.schedules import RatePair, Schedule
from unnoise.diffusion.tensors import Images, Prediction, Rates, mix
from unnoise.utils.errors import require

Times: TypeAlias = Float[Tensor, " grid"]
"""The num_steps + 1 falling diffusion times of a sampler, from noise (at most 1) to the image (0)."""

_MOST_STEPS = 1_000_000


def require_steps(num_steps: int) -> None:
    """Raises `UnnoiseError` for fewer than one step, or more than a million."""
    require(num_steps >= 1, f"Sampling takes at least 1 step, but got {num_steps}: try 20.")
    require(
        num_steps <= _MOST_STEPS,
        f"Sampling takes at most {_MOST_STEPS:,} steps, but got {num_steps:,}: try 20.",
    )


def even_times(num_steps: int) -> Times:
    """Evenly spaced times t_k = 1 - k / num_steps for k = 0 ... num_steps, in float64."""
    return 1 - torch.arange(num_steps + 1, dtype=torch.float64) / num_steps


def time_grid(num_steps: int, schedule: Schedule, times: Times | None = None) -> RatePair:
    """The rates at the times of a sampler, each (num_steps + 1, 1, 1, 1), in float64.

    Args:
        num_steps: the number of steps.
        schedule: diffusion times -> noise and signal rates.
        times: num_steps + 1 falling times, such as those of `spacing.spaced_times`; `even_times` if left out.

    Raises:
        UnnoiseError: for fewer than one step, or times of another number or order.
    """
    require_steps(num_steps)
    if times is None:
        times = even_times(num_steps)
    require(
        len(times) == num_steps + 1 and bool((times.diff() < 0).all()),
        f"{num_steps} steps need {num_steps + 1} falling times, but got {times.tolist()[:8]}.",
    )
    return RatePair(*schedule(times.double().view(-1, 1, 1, 1)))


def rates_at(grid: RatePair, step: int, images: Images) -> tuple[Rates, Rates]:
    """The noise and signal rate of one step, repeated for each image: (B, 1, 1, 1)."""
    noise_rates, signal_rates = (
        rates[step : step + 1].to(images.dtype).to(images.device).expand(len(images), 1, 1, 1) for rates in grid
    )
    return noise_rates, signal_rates


def gaussian(images: Images) -> Callable[[], Images]:
    """A function that draws N(0, 1) in the shape of the images, with PyTorch's global generator."""
    return lambda: torch.randn_like(images)


def noisy_images(walk: Iterable[Prediction], grid: RatePair) -> Iterator[Images]:
    """The noisy images at each step of a walk, mixed again from the predictions, and the images of the last."""
    for prediction, *rates in zip(walk, *grid, strict=False):
        level = (rate.to(prediction.images).expand(len(prediction.images), 1, 1, 1) for rate in rates)
        yield mix(prediction.images, prediction.noises, *level)
    yield prediction.images
