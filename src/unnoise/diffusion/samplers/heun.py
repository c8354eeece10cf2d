r"""Heun's sampler (EDM, Karras et al., 2206.00364), and the other two-call methods of second order."""

from collections.abc import Callable, Iterator

import torch

from unnoise.diffusion.samplers.adams_bashforth import LEAST_SIGNAL, with_mean_noises
from unnoise.diffusion.samplers.grid import Times, even_times, rates_at, time_grid
from unnoise.diffusion.schedules import OffsetCosine, RatePair, Schedule
from unnoise.diffusion.tensors import Denoise, Images, Prediction, mix
from unnoise.utils.errors import require


def heun(
    denoise: Denoise,
    noises: Images,
    num_steps: int = 20,
    schedule: Schedule = OffsetCosine(),  # noqa: B008 (frozen)
    *,
    fraction: float = 1.0,
    times: Times | None = None,
    draw_noises: Callable[[], Images] | None = None,
) -> Iterator[Prediction]:
    r"""Heun's sampler (EDM, 2206.00364, algorithm 1), and with fraction = 1/2 the midpoint method.

        mean of eps = (1 - 1 / 2a) eps(x_t, t) + 1 / 2a eps(x_s, s),      s = t - a (t - t')
        y_{t'} = y_t + (r' - r) * (mean of eps),      y = x_t / alpha,   r = sigma / alpha

    where x_s is DDIM's step from x_t, and a the fraction (algorithm 3 of the paper, alpha there). Of second
    order. Each step calls `denoise` twice; DDIM's step is taken, with one call, where no noise is left at s,
    or where x_t holds no signal.

    Args:
        denoise, noises, num_steps, schedule, times: as for `ddim`.
        fraction: a, above 0 and at most 1: 1 is Heun's method, 1/2 the midpoint method.
        draw_noises: not used: the sampler is deterministic. All samplers have this argument.

    Yields:
        `Prediction(noises, images)`, as `adams_bashforth`.

    Raises:
        UnnoiseError: for num_steps < 1, or a fraction outside (0, 1].
    """
    require(0 < fraction <= 1, f"Heun's fraction is above 0 and at most 1, but got {fraction}: try 1.")
    grid = time_grid(num_steps, schedule, times)
    ahead = _rates_ahead(grid, schedule, fraction, even_times(num_steps) if times is None else times)
    noisy_images = noises
    for step, calls_twice in enumerate(_two_call_steps(grid, ahead)):
        # The yield is outside of no_grad: a mode set inside a generator would stay set for its caller.
        with torch.no_grad():
            rates = rates_at(grid, step, noises)
            prediction = denoise(noisy_images, *rates)
            if calls_twice:
                rates_ahead = rates_at(ahead, step, noises)
                second = denoise(mix(prediction.images, prediction.noises, *rates_ahead), *rates_ahead)
                mean = torch.lerp(prediction.noises, second.noises, 1 / (2 * fraction))
                prediction = with_mean_noises(mean, prediction, noisy_images, *rates)
        yield prediction
        noisy_images = mix(prediction.images, prediction.noises, *rates_at(grid, step + 1, noises))


def heun_calls(grid: RatePair) -> int:
    """How often Heun's method calls `denoise` along this grid."""
    return len(grid.noise_rates) - 1 + sum(_two_call_steps(grid, _ends(grid)))


def _two_call_steps(grid: RatePair, ahead: RatePair) -> list[bool]:
    """Which steps take a second call: those that start with signal, and have noise left ahead."""
    starts_with_signal = grid.signal_rates[:-1].flatten() > LEAST_SIGNAL
    twice: list[bool] = (starts_with_signal & (ahead.noise_rates.flatten() > 0)).tolist()
    return twice


def _rates_ahead(grid: RatePair, schedule: Schedule, fraction: float, times: Times) -> RatePair:
    """The rates a fraction of each step ahead, each (num_steps, 1, 1, 1), in float64."""
    if fraction == 1:
        return _ends(grid)
    between = torch.lerp(times[:-1].double(), times[1:].double(), fraction)
    return RatePair(*schedule(between.view(-1, 1, 1, 1)))


def _ends(grid: RatePair) -> RatePair:
    """The rates at the end of each step."""
    return RatePair(*(rates[1:] for rates in grid))
