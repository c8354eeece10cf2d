r"""Of the probability flow only the noise has to be known: the better its mean over a step, the fewer steps.

With y = x_t / alpha and the ratio r = sigma / alpha (DDIM, 2010.02502, eq. 14):

    dy / dr = eps(x_t, t),      so that exactly      y_{t'} = y_t + (r' - r) * (mean of eps over the step)

DDIM takes eps where the step starts for its mean, which is right to first order. `multistep` adds what was
seen in the steps before, `second_order` looks ahead; both are right to second order.
"""

from collections import deque
from collections.abc import Iterator

import torch

from unnoise.errors import require
from unnoise.samplers import Times, rates_at, time_grid
from unnoise.schedules import OffsetCosine, RatePair, Schedule
from unnoise.tensors import Denoise, Images, Prediction, Rates, mix

ADAMS_BASHFORTH: tuple[tuple[float, ...], ...] = (
    (1,),
    (-1 / 2, 3 / 2),
    (5 / 12, -16 / 12, 23 / 12),
    (-9 / 24, 37 / 24, -59 / 24, 55 / 24),
    (251 / 720, -1274 / 720, 2616 / 720, -2774 / 720, 1901 / 720),
)
"""For each order the weights of what was seen last, the newest at the end: where all steps are equal, they
integrate the polynomial through it over the next one."""


def multistep(
    denoise: Denoise,
    noises: Images,
    num_steps: int = 20,
    schedule: Schedule = OffsetCosine(),  # noqa: B008 (frozen)
    *,
    order: int = 2,
    times: Times | None = None,
) -> Iterator[Prediction]:
    r"""The linear multistep method of Adams and Bashforth (PNDM, 2202.09778), on t = 1, 1 - 1/K, ..., 1/K.

        mean of eps = c_1 eps_k + c_2 eps_{k-1} + ... + c_m eps_{k-m+1}

    One call of `denoise` a step, as DDIM, and exactly DDIM with order = 1. The first steps have seen less and
    are of lower order. As they are, and the steps are not equal in r, orders above 2 need not converge faster.

    Args:
        denoise, noises, num_steps, schedule, times: as for `samplers.ddim`.
        order: m, from 1 to 5.

    Yields:
        `Prediction(noises, images)`, K times: the mean of eps over the step, and the images that mix with it to
        x_t. Those of the last are the result.

    Raises:
        UnnoiseError: for num_steps < 1, or an order outside 1 ... 5.
    """
    require(
        1 <= order <= len(ADAMS_BASHFORTH),
        f"A multistep sampler's order is from 1 to 5, but got {order}: try 2.",
    )
    grid = time_grid(num_steps, schedule, times)
    noisy_images, seen = noises, deque[Images](maxlen=order)
    for step in range(num_steps):
        # Not around the yield: a mode that is set inside a generator would leak to whoever it yields to.
        with torch.no_grad():
            rates = rates_at(grid, step, noises)
            prediction = denoise(noisy_images, *rates)
            seen.append(prediction.noises)
            if len(seen) > 1:  # before, there is nothing to correct; and the signal rate may still be 0
                weights = ADAMS_BASHFORTH[len(seen) - 1]
                mean = torch.stack([weight * eps for weight, eps in zip(weights, seen, strict=True)]).sum(0)
                prediction = _along(mean, prediction, noisy_images, *rates)
        yield prediction
        noisy_images = mix(prediction.images, prediction.noises, *rates_at(grid, step + 1, noises))


def second_order(
    denoise: Denoise,
    noises: Images,
    num_steps: int = 20,
    schedule: Schedule = OffsetCosine(),  # noqa: B008 (frozen)
    *,
    fraction: float = 1.0,
    times: Times | None = None,
) -> Iterator[Prediction]:
    r"""The Runge-Kutta methods of second order (EDM, 2206.00364, algorithm 3): each step takes two calls.

        mean of eps = (1 - 1 / 2a) eps(x_t, t) + 1 / 2a eps(x_s, s),      s = t - a (t - t')

    where x_s is DDIM's from x_t, and a the fraction of the step: 1 is Heun's method, 1/2 the midpoint's. Where
    no noise is left at s there is no eps to see, and DDIM's step is taken.

    Args:
        denoise, noises, num_steps, schedule, times: as for `samplers.ddim`; `denoise` is called 2 K times.
        fraction: a, above 0 and at most 1.

    Yields:
        as `multistep`.

    Raises:
        UnnoiseError: for num_steps < 1, a fraction outside (0, 1], or a schedule without signal at t = 1.
    """
    require(0 < fraction <= 1, f"The fraction of a step is above 0 and at most 1, but got {fraction}: try 1.")
    grid = time_grid(num_steps, schedule, times)
    ahead = _ahead(num_steps, schedule, fraction, times)
    require(
        float(grid.signal_rates[0]) > 1e-5,  # a cosine that ends at 0 is rounded to 6e-17
        "A second-order step divides by the signal rate, which is 0 at t = 1 of this schedule: "
        "take ddim or multistep.",
    )
    noisy_images = noises
    for step in range(num_steps):
        with torch.no_grad():
            rates = rates_at(grid, step, noises)
            prediction = denoise(noisy_images, *rates)
            if float(ahead.noise_rates[step]) > 0:
                rates_ahead = rates_at(ahead, step, noises)
                later = denoise(mix(prediction.images, prediction.noises, *rates_ahead), *rates_ahead)
                mean = torch.lerp(prediction.noises, later.noises, 1 / (2 * fraction))
                prediction = _along(mean, prediction, noisy_images, *rates)
        yield prediction
        noisy_images = mix(prediction.images, prediction.noises, *rates_at(grid, step + 1, noises))


def _along(
    mean: Images, prediction: Prediction, noisy_images: Images, noise_rates: Rates, signal_rates: Rates
) -> Prediction:
    """The prediction whose noises are the mean of eps, and whose images mix with it to the same x_t."""
    return prediction._replace(noises=mean, images=(noisy_images - noise_rates * mean) / signal_rates)


def _ahead(num_steps: int, schedule: Schedule, fraction: float, times: Times | None) -> RatePair:
    """The rates a fraction of each step ahead, each (num_steps, 1, 1, 1), in float64."""
    if times is None:
        times = 1 - torch.arange(num_steps + 1, dtype=torch.float64) / num_steps
    # lerp(x, y, 1) is y to the bit: a last step that ends at t = 0 does so here, too.
    between = torch.lerp(times[:-1].double(), times[1:].double(), fraction)
    return RatePair(*schedule(between.view(-1, 1, 1, 1)))
