"""DDIM sampler (Song et al., 2010.02502)."""

import math
from collections.abc import Callable, Iterator

import torch

from unnoise.diffusion.samplers.grid import Times, gaussian, rates_at, time_grid
from unnoise.diffusion.schedules import OffsetCosine, RatePair, Schedule
from unnoise.diffusion.tensors import Denoise, Images, Prediction
from unnoise.utils.errors import require


def require_eta(eta: float) -> None:
    """Raises `UnnoiseError` for an eta outside [0, 1]."""
    require(0 <= eta <= 1, f"eta goes from 0 (deterministic) to 1 (ancestral), but got {eta}.")


def ddim(
    denoise: Denoise,
    noises: Images,
    num_steps: int = 20,
    schedule: Schedule = OffsetCosine(),  # noqa: B008 (frozen)
    *,
    eta: float = 0.0,
    large_variance: bool = False,
    times: Times | None = None,
    draw_noises: Callable[[], Images] | None = None,
) -> Iterator[Prediction]:
    r"""DDIM sampler (2010.02502, eq. 12 and 16), by default at the times 1, 1 - 1/K, ..., 1/K, 0.

        x_{t'} = alpha' x_0 + sqrt(sigma'^2 - s^2) eps + s z,      z ~ N(0, 1)
        s = eta sqrt(1 - (alpha / alpha')^2) sigma' / sigma

    where x_0 and eps are predicted by `denoise` from x_t. Of first order; one call of `denoise` a step. With
    eta = 0 no noise is drawn: the step is Euler's method for the probability flow in r = sigma / alpha, the
    same start gives the same picture, and fewer steps a similar one. eta = 1 has the variance of DDPM's
    ancestral sampling.

    Args:
        denoise: separates noisy images into noises and images.
        noises: (B, C, H, W), N(0, 1), used as x at t = 1.
        num_steps: K.
        schedule: diffusion times -> noise and signal rates.
        eta: from 0 (deterministic) to 1.
        large_variance: adds s sigma / sigma' of noise instead of s (the paper's "sigma hat").
        times: K + 1 falling times instead of the even ones; see `time_grid`.
        draw_noises: returns the next z, (B, C, H, W); left out, PyTorch's global generator draws it.

    Yields:
        `Prediction(noises, images)`, each (B, C, H, W), K times. The images of the last are the result.

    Raises:
        UnnoiseError: for num_steps < 1, or eta outside [0, 1].
    """
    require_eta(eta)
    grid = time_grid(num_steps, schedule, times)
    draw = draw_noises or gaussian(noises)
    noisy_images = noises
    for step in range(num_steps):
        # The yield is outside of no_grad: a mode set inside a generator would stay set for its caller.
        with torch.no_grad():
            noise_rates, signal_rates = rates_at(grid, step, noises)
            prediction = denoise(noisy_images, noise_rates, signal_rates)
        yield prediction
        if step + 1 < num_steps:
            with torch.no_grad():
                spread, added = _spread(grid, step, eta, large_variance=large_variance)
                next_noise, next_signal = rates_at(grid, step + 1, noises)
                kept = (next_noise.square() - spread**2).clamp(min=0).sqrt() if spread else next_noise
                noisy_images = next_signal * prediction.images + kept * prediction.noises
                if spread:
                    noisy_images = noisy_images + added * draw()


def _spread(grid: RatePair, step: int, eta: float, *, large_variance: bool) -> tuple[float, float]:
    """s, by which the variance of eps is reduced, and the standard deviation of the added noise."""
    (noise, next_noise), (signal, next_signal) = (
        (float(rates[step]), float(rates[step + 1])) for rates in grid
    )
    spread = eta * math.sqrt(max(0.0, 1 - (signal / next_signal) ** 2)) * next_noise / noise
    return spread, spread * noise / next_noise if large_variance else spread
