r"""Adams-Bashforth sampler (iPNDM), and the linear multistep method that it shares with DEIS.

With y = x_t / alpha and r = sigma / alpha, the probability flow is (DDIM, 2010.02502, eq. 14)

    dy / dr = eps(x_t, t),      so that exactly      y_{t'} = y_t + (r' - r) * (mean of eps over the step)

DDIM takes eps at the start of the step for this mean, which is correct to first order. A linear multistep
method takes a weighted sum of this eps and those of the steps before.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence

import torch

from unnoise.diffusion.samplers.grid import Times, rates_at, time_grid
from unnoise.diffusion.samplers.polynomials import require_order, weighted_sum
from unnoise.diffusion.schedules import OffsetCosine, RatePair, Schedule
from unnoise.diffusion.tensors import Denoise, Images, Prediction, Rates, mix

COEFFICIENTS: tuple[tuple[float, ...], ...] = (
    (1,),
    (-1 / 2, 3 / 2),
    (5 / 12, -16 / 12, 23 / 12),
    (-9 / 24, 37 / 24, -59 / 24, 55 / 24),
    (251 / 720, -1274 / 720, 2616 / 720, -2774 / 720, 1901 / 720),
)
"""Adams-Bashforth coefficients of the orders 1 to 5, the newest step last. For equal steps they integrate the
polynomial through the last values over the next step."""

LEAST_SIGNAL = 1e-5
"""A step that starts at a lower signal rate counts as pure noise: cos(pi / 2) is computed as 6e-17, not 0."""


def adams_bashforth(
    denoise: Denoise,
    noises: Images,
    num_steps: int = 20,
    schedule: Schedule = OffsetCosine(),  # noqa: B008 (frozen)
    *,
    order: int = 2,
    times: Times | None = None,
    draw_noises: Callable[[], Images] | None = None,
) -> Iterator[Prediction]:
    r"""Adams-Bashforth sampler with fixed coefficients (PNDM, 2202.09778, eq. 9); of order 4 it is iPNDM.

        mean of eps = c_1 eps_k + c_2 eps_{k-1} + ... + c_m eps_{k-m+1}

    iPNDM is defined in DEIS, 2204.13902, section 4. One call of `denoise` a step. Order 1 is DDIM. The first
    steps have fewer values and are of lower order. The coefficients are exact for steps of equal length in r;
    on other grids an order above 2 need not converge faster (`deis` with variable="ratio" has the coefficients
    for any steps).

    Args:
        denoise, noises, num_steps, schedule, times: as for `ddim`.
        order: m, from 1 to 5.
        draw_noises: not used: the sampler is deterministic. All samplers have this argument.

    Yields:
        `Prediction(noises, images)`, each (B, C, H, W), num_steps times: the mean of eps over the step, and the
        images that mix with it to x_t. The images of the last are the result.

    Raises:
        UnnoiseError: for num_steps < 1, or an order outside 1 ... 5.
    """
    require_order(order, len(COEFFICIENTS), "adams_bashforth")
    grid = time_grid(num_steps, schedule, times)

    def weights(_: int, used: Sequence[int]) -> Sequence[float]:
        return COEFFICIENTS[len(used) - 1]

    yield from linear_multistep(denoise, noises, grid, order, weights, skip_pure_noise=False)


def linear_multistep(
    denoise: Denoise,
    noises: Images,
    grid: RatePair,
    order: int,
    weights: Callable[[int, Sequence[int]], Sequence[float]],
    *,
    skip_pure_noise: bool = True,
) -> Iterator[Prediction]:
    """Linear multistep method: the mean of eps over each step is a weighted sum of the last values of eps.

    The first steps have fewer values and are of lower order.

    Args:
        denoise, noises: as for `ddim`.
        grid: the rates of num_steps + 1 times, the noise falling.
        order: the largest number of values in the sum.
        weights: (step, the steps whose eps are used, the newest last) -> the weight of each eps.
        skip_pure_noise: leaves out the eps of a step that starts without signal, where r is infinite.

    Yields:
        as `adams_bashforth`.
    """
    noisy_images, last_noises = noises, deque[tuple[int, Images]](maxlen=order)
    for step in range(len(grid.noise_rates) - 1):
        # The yield is outside of no_grad: a mode set inside a generator would stay set for its caller.
        with torch.no_grad():
            rates = rates_at(grid, step, noises)
            prediction = denoise(noisy_images, *rates)
            if has_signal(grid, step) or not skip_pure_noise:
                last_noises.append((step, prediction.noises))
            if len(last_noises) > 1:  # with one value the mean is eps itself, and the signal rate may be 0
                steps, eps = zip(*last_noises, strict=True)
                mean = weighted_sum(weights(step, steps), eps)
                prediction = with_mean_noises(mean, prediction, noisy_images, *rates)
        yield prediction
        noisy_images = mix(prediction.images, prediction.noises, *rates_at(grid, step + 1, noises))


def has_signal(grid: RatePair, step: int) -> bool:
    """Whether noise / signal is finite at this step of the grid."""
    return float(grid.signal_rates[step]) > LEAST_SIGNAL


def with_mean_noises(
    mean: Images, prediction: Prediction, noisy_images: Images, noise_rates: Rates, signal_rates: Rates
) -> Prediction:
    """The prediction with the mean of eps as its noises, and the images that mix with it to the same x_t."""
    return prediction._replace(noises=mean, images=(noisy_images - noise_rates * mean) / signal_rates)
