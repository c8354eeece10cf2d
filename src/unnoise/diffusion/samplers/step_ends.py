"""Where each step of a sampler ends, for networks that jump there by one call; see `mean_velocity`."""

from collections.abc import Callable
from typing import Any, TypeAlias

from unnoise.diffusion.samplers.grid import rates_at
from unnoise.diffusion.schedules import RatePair
from unnoise.diffusion.tensors import Images, Prediction, Rates

StepEnds: TypeAlias = Callable[[Rates], RatePair]
"""Noise rates at which a step begins, the same for all images, (B, 1, 1, 1) -> the rates at which it ends."""


def step_ends(grid: RatePair, *, at_image: bool) -> StepEnds:
    """The ends of the steps of a grid (num_steps + 1, 1, 1, 1): each the next level, the last the image.

    Args:
        grid: the rates of the steps.
        at_image: every step ends at the image, as those of the consistency sampler do.
    """
    noises, signals = (rates.clone() for rates in grid)
    noises[-1], signals[-1] = 0, 1
    ends = RatePair(noises, signals)

    def end_of(noise_rates: Rates) -> RatePair:
        begins = noises[:-1].flatten().to(noise_rates)
        place = len(begins) if at_image else int((begins - noise_rates.flatten()[:1]).abs().argmin()) + 1
        return RatePair(*rates_at(ends, place, noise_rates))

    return end_of


def jumping(denoise: Callable[..., Prediction], end_of: StepEnds) -> Callable[..., Prediction]:
    """A denoiser that is told where each of its steps ends."""

    def wrapped(noisy_images: Images, noise_rates: Rates, signal_rates: Rates, **told: Any) -> Prediction:  # noqa: ANN401
        return denoise(noisy_images, noise_rates, signal_rates, ends=end_of(noise_rates), **told)

    return wrapped
