r"""Along noise / signal the way to the picture is nearly straight, and fresh noise may mend what was missed.

With y = x_t / alpha and EDM's sigma, r = noise / signal (2206.00364, eq. 4 with sigma(t) = t, and algorithm 2):

    r_hat = r + gamma r,    y_hat = y + S sqrt(r_hat^2 - r^2) z,        gamma = min(churn / K, sqrt(2) - 1)
    Euler:  y' = y_hat + (r' - r_hat) eps(y_hat)
    Heun:   y' = y_hat + (r' - r_hat) (eps(y_hat) + eps(Euler's y')) / 2

Without churn Euler's steps are DDIM's, and Heun's those of `second_order` with fraction 1.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch

from unnoise.diffusion.samplers.flow import along
from unnoise.diffusion.samplers.grid import Times, gaussian, rates_at, time_grid
from unnoise.diffusion.schedules import OffsetCosine, RatePair, Schedule
from unnoise.diffusion.tensors import Denoise, Images, Prediction, Rates, mix
from unnoise.utils.errors import require

_NO_SIGNAL = 1e-5
"""At a signal rate below, y has no digits left; a cosine that ends at 0 is rounded to 6e-17."""


@dataclass(frozen=True, kw_only=True)
class Churn:
    """Fresh noise before each step; the paper's S_churn, S_tmin, S_tmax and S_noise.

    Args:
        amount: over the whole walk; 0 is none.
        lowest, highest: it is only added where r lies between them.
        spread: S, the standard deviation of z; a little above 1 makes up for what denoising smooths away.

    Raises:
        UnnoiseError: for an amount below 0, or bounds in the wrong order.
    """

    amount: float = 0.0
    lowest: float = 0.0
    highest: float = math.inf
    spread: float = 1.0

    def __post_init__(self) -> None:
        require(self.amount >= 0, f"The amount of churn is at least 0, but got {self.amount:g}: try 40.")
        require(
            0 <= self.lowest <= self.highest,
            f"Churn goes from a lower to a higher noise / signal, but got {self.lowest:g} to {self.highest:g}.",
        )

    def rise(self, ratio: float, num_steps: int) -> float:
        """r_hat / r."""
        if not (self.lowest <= ratio <= self.highest) or math.isinf(ratio):
            return 1.0
        return 1 + min(self.amount / num_steps, math.sqrt(2) - 1)


def euler(
    denoise: Denoise,
    noises: Images,
    num_steps: int = 20,
    schedule: Schedule = OffsetCosine(),  # noqa: B008 (frozen)
    *,
    churn: Churn = Churn(),
    times: Times | None = None,
    draw_noises: Callable[[], Images] | None = None,
) -> Iterator[Prediction]:
    """Euler's method on EDM's equation, with churn: of first order.

    Args:
        denoise, noises, num_steps, schedule, times, draw_noises: as for `samplers.ddim`.
        churn: fresh noise on the way. A chain has no step for the level it raises the noise to, so that a
            network that is told a timestep is told the nearest.

    Yields:
        `Prediction(noises, images)`, K times: eps over the step, and the images that mix with it to x_hat.
        Those of the last are the result.

    Raises:
        UnnoiseError: for num_steps < 1.
    """
    return _walk(
        denoise, noises, num_steps, schedule, churn, times, draw_noises or gaussian(noises), looks_ahead=False
    )


def heun(
    denoise: Denoise,
    noises: Images,
    num_steps: int = 20,
    schedule: Schedule = OffsetCosine(),  # noqa: B008 (frozen)
    *,
    churn: Churn = Churn(),
    times: Times | None = None,
    draw_noises: Callable[[], Images] | None = None,
) -> Iterator[Prediction]:
    """Heun's method on EDM's equation, with churn (2206.00364, algorithm 2): of second order.

    A step calls `denoise` twice, and takes Euler's where it ends without noise, or starts without signal.

    Args:
        denoise, noises, num_steps, schedule, times, draw_noises, churn: as for `euler`.

    Yields:
        as `euler`, with the mean of eps over the step.

    Raises:
        UnnoiseError: for num_steps < 1.
    """
    return _walk(
        denoise, noises, num_steps, schedule, churn, times, draw_noises or gaussian(noises), looks_ahead=True
    )


def steps_with_a_look_ahead(grid: RatePair) -> list[bool]:
    """Which steps of Heun's method are not Euler's: those that start with signal, and end with noise."""
    noise_rates, signal_rates = (rates.flatten() for rates in grid)
    looks: list[bool] = ((signal_rates[:-1] > _NO_SIGNAL) & (noise_rates[1:] > 0)).tolist()
    return looks


def _walk(
    denoise: Denoise,
    noises: Images,
    num_steps: int,
    schedule: Schedule,
    churn: Churn,
    times: Times | None,
    draw: Callable[[], Images],
    *,
    looks_ahead: bool,
) -> Iterator[Prediction]:
    grid = time_grid(num_steps, schedule, times)
    noisy_images = noises
    for step, looks in enumerate(steps_with_a_look_ahead(grid)):
        with torch.no_grad():
            noisy_images, rates = _stirred(noisy_images, grid, step, churn, draw)
            prediction = denoise(noisy_images, *rates)
            ahead = rates_at(grid, step + 1, noises)
            if looks and looks_ahead:
                later = denoise(mix(prediction.images, prediction.noises, *ahead), *ahead)
                mean = torch.lerp(prediction.noises, later.noises, 0.5)
                prediction = along(mean, prediction, noisy_images, *rates)
        yield prediction
        noisy_images = mix(prediction.images, prediction.noises, *ahead)


def _stirred(
    noisy_images: Images, grid: RatePair, step: int, churn: Churn, draw: Callable[[], Images]
) -> tuple[Images, tuple[Rates, Rates]]:
    """x_hat and its rates."""
    noise, signal = (float(rates[step]) for rates in grid)
    ratio = noise / signal if signal > _NO_SIGNAL else math.inf
    rise = churn.rise(ratio, len(grid.noise_rates) - 1)
    if rise == 1:
        return noisy_images, rates_at(grid, step, noisy_images)
    raised = rise * ratio
    raised_signal = 1 / math.hypot(1, raised)
    added = raised_signal * churn.spread * math.sqrt(raised**2 - ratio**2)
    rates = torch.tensor([raised * raised_signal, raised_signal], dtype=torch.float64).view(2, 1, 1, 1, 1)
    return (raised_signal / signal) * noisy_images + added * draw(), rates_at(RatePair(*rates), 0, noisy_images)
