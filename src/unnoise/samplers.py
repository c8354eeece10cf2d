r"""A sampler walks from noise to pictures by calling `denoise` again and again; it knows no network.

Each sampler is a generator: it yields one `Prediction` a step, and the images of the last are the result.
"""

import math
from collections.abc import Callable, Iterator
from typing import Literal, TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor

from unnoise.errors import require
from unnoise.posteriors import like, log_variance_between, posterior_weights
from unnoise.schedules import OffsetCosine, RatePair, Schedule
from unnoise.tensors import Denoise, Images, Prediction, Rates

Times: TypeAlias = Float[Tensor, " grid"]
Variance = Literal["small", "large", "learned"]


def require_steps(num_steps: int) -> None:
    """Raises `UnnoiseError` for fewer than one step."""
    require(num_steps >= 1, f"Sampling takes at least 1 step, but got {num_steps}: try 20.")


def require_eta(eta: float) -> None:
    """Raises `UnnoiseError` outside [0, 1]."""
    require(0 <= eta <= 1, f"eta goes from 0 (deterministic) to 1 (ancestral), but got {eta}.")


def time_grid(num_steps: int, schedule: Schedule, times: Times | None = None) -> RatePair:
    """The rates at the times of a sampler, each (num_steps + 1, 1, 1, 1), in float64.

    Args:
        num_steps: how many steps; the times are t_k = 1 - k / num_steps for k = 0 ... num_steps.
        schedule: gives the rates.
        times: others instead, num_steps + 1 of them, falling, such as a discrete schedule's `times`.

    Raises:
        UnnoiseError: for fewer than one step, or times that are not so many or don't fall.
    """
    require_steps(num_steps)
    if times is None:
        times = 1 - torch.arange(num_steps + 1, dtype=torch.float64) / num_steps
    require(
        len(times) == num_steps + 1 and bool((times.diff() < 0).all()),
        f"{num_steps} steps go along {num_steps + 1} falling times, but got {times.tolist()[:8]}.",
    )
    return RatePair(*schedule(times.double().view(-1, 1, 1, 1)))


def _gaussian(images: Images) -> Callable[[], Images]:
    return lambda: torch.randn_like(images)


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
    r"""Denoising diffusion implicit models (2010.02502, eq. 12 and 16), on t = 1, 1 - 1/K, ..., 1/K.

        x_{t'} = alpha' x_0 + sqrt(sigma'^2 - s^2) eps + s z,      z ~ N(0, 1)
        s = eta sqrt(1 - (alpha / alpha')^2) sigma' / sigma

    where x_0, eps are what `denoise` sees in x_t. eta = 0 draws no noise: the same start gives the same
    picture, and fewer steps a similar one. eta = 1 has the variance of DDPM's ancestral sampling. After the
    last step, which ends at t = 0, the images of the last prediction are the result.

    Args:
        denoise: separates noisy images into noises and images.
        noises: (B, C, H, W), N(0, 1): taken as they are for x at t = 1.
        num_steps: K, the number of calls of `denoise`.
        schedule: gives the rates at each time.
        eta: from 0 (deterministic) to 1.
        large_variance: adds s sigma / sigma' of noise instead of s (the paper's "sigma hat").
        times: the grid; see `time_grid`.
        draw_noises: returns the next z, (B, C, H, W); PyTorch's global generator if left out.

    Yields:
        `Prediction(noises, images)`, K times.

    Raises:
        UnnoiseError: for num_steps < 1, or eta outside [0, 1].
    """
    require_eta(eta)
    grid = time_grid(num_steps, schedule, times)
    draw = draw_noises or _gaussian(noises)
    noisy_images = noises
    for step in range(num_steps):
        # Not around the yield: a mode that is set inside a generator would leak to whoever it yields to.
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


def ancestral(
    denoise: Denoise,
    noises: Images,
    num_steps: int,
    schedule: Schedule,
    *,
    variance: Variance = "small",
    times: Times | None = None,
    draw_noises: Callable[[], Images] | None = None,
) -> Iterator[Prediction]:
    r"""The chain of DDPM (2006.11239, algorithm 2 and eq. 7), on any schedule and any grid of times.

        x_s = a x_t + b x_0 + sqrt(variance) z,      z ~ N(0, 1), and none in the last step

    with the weights of q(x_s | x_t, x_0) (see `posteriors`). It is DDIM with eta = 1 where x_0 and eps mix to
    x_t, and forgets eps otherwise.

    Args:
        denoise, noises, num_steps, schedule, times, draw_noises: as for `ddim`.
        variance: `small` is the posterior's own (beta tilde), `large` the forward step's (beta); `learned`
            lies between them, by `Prediction.variances` (Improved DDPM, 2102.09672, eq. 15):
            exp(v log large + (1 - v) log small).

    Yields:
        `Prediction(noises, images)`, num_steps times; the images of the last are the result.

    Raises:
        UnnoiseError: for num_steps < 1, or a learned variance of a network that has learned none.
    """
    grid = time_grid(num_steps, schedule, times)
    draw = draw_noises or _gaussian(noises)
    noisy_images = noises
    for step in range(num_steps):
        with torch.no_grad():
            prediction = denoise(noisy_images, *rates_at(grid, step, noises))
        yield prediction
        if step + 1 < num_steps:
            with torch.no_grad():
                now, before = (RatePair(*(rates[k : k + 1] for rates in grid)) for k in (step, step + 1))
                kept, added, small, large = (like(w, noises) for w in posterior_weights(now, before))
                spread = _chosen_variance(variance, small, large, prediction).sqrt()
                noisy_images = kept * noisy_images + added * prediction.images + spread * draw()


def _chosen_variance(variance: Variance, small: Tensor, large: Tensor, prediction: Prediction) -> Tensor:
    match variance:
        case "small":
            return small
        case "large":
            return large
        case "learned":
            require(
                prediction.variances is not None,
                "This network has learned no variance: take small or large, or train with learned_variance.",
            )
            assert prediction.variances is not None
            return log_variance_between(prediction.variances, small, large).exp()


def rates_at(grid: RatePair, step: int, images: Images) -> tuple[Rates, Rates]:
    """The rates of one step of a grid, once for each of the images: (B, 1, 1, 1)."""
    noise_rates, signal_rates = (
        rates[step : step + 1].to(images.dtype).to(images.device).expand(len(images), 1, 1, 1) for rates in grid
    )
    return noise_rates, signal_rates


def _spread(grid: RatePair, step: int, eta: float, *, large_variance: bool) -> tuple[float, float]:
    """The standard deviation that is taken from eps, and that of the noise that is added instead."""
    (noise, next_noise), (signal, next_signal) = (
        (float(rates[step]), float(rates[step + 1])) for rates in grid
    )
    spread = eta * math.sqrt(max(0.0, 1 - (signal / next_signal) ** 2)) * next_noise / noise
    return spread, spread * noise / next_noise if large_variance else spread
