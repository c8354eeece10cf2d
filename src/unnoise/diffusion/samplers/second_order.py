"""A look ahead tells how the noise changes over a step: two calls for each."""

from collections.abc import Callable, Iterator

import torch

from unnoise.diffusion.samplers.flow import along
from unnoise.diffusion.samplers.grid import Times, rates_at, time_grid
from unnoise.diffusion.schedules import OffsetCosine, RatePair, Schedule
from unnoise.diffusion.tensors import Denoise, Images, Prediction, mix
from unnoise.utils.errors import require


def second_order(
    denoise: Denoise,
    noises: Images,
    num_steps: int = 20,
    schedule: Schedule = OffsetCosine(),  # noqa: B008 (frozen)
    *,
    fraction: float = 1.0,
    times: Times | None = None,
    draw_noises: Callable[[], Images] | None = None,
) -> Iterator[Prediction]:
    r"""The Runge-Kutta methods of second order (EDM, 2206.00364, algorithm 3): each step takes two calls.

        mean of eps = (1 - 1 / 2a) eps(x_t, t) + 1 / 2a eps(x_s, s),      s = t - a (t - t')

    where x_s is DDIM's from x_t, and a the fraction of the step: 1 is Heun's method, 1/2 the midpoint's. Where
    no noise is left at s there is no eps to see, and DDIM's step is taken.

    Args:
        denoise, noises, num_steps, schedule, times: as for `samplers.ddim`; `denoise` is called 2 K times.
        fraction: a, above 0 and at most 1.
        draw_noises: none are drawn; samplers are called alike.

    Yields:
        as `multistep.multistep`.

    Raises:
        UnnoiseError: for num_steps < 1, a fraction outside (0, 1], or a schedule without signal at t = 1.
    """
    require(0 < fraction <= 1, f"The fraction of a step is above 0 and at most 1, but got {fraction}: try 1.")
    grid = time_grid(num_steps, schedule, times)
    ahead = _ahead(num_steps, schedule, fraction, times)
    require(
        float(grid.signal_rates[0]) > 1e-5,  # a cosine that ends at 0 is rounded to 6e-17
        "A second-order step divides by the signal rate, which is 0 at t = 1 of this schedule: "
        "take heun, whose first step is Euler's there, or multistep.",
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
                prediction = along(mean, prediction, noisy_images, *rates)
        yield prediction
        noisy_images = mix(prediction.images, prediction.noises, *rates_at(grid, step + 1, noises))


def _ahead(num_steps: int, schedule: Schedule, fraction: float, times: Times | None) -> RatePair:
    """The rates a fraction of each step ahead, each (num_steps, 1, 1, 1), in float64."""
    if times is None:
        times = 1 - torch.arange(num_steps + 1, dtype=torch.float64) / num_steps
    # lerp(x, y, 1) is y to the bit: a last step that ends at t = 0 does so here, too.
    between = torch.lerp(times[:-1].double(), times[1:].double(), fraction)
    return RatePair(*schedule(between.view(-1, 1, 1, 1)))
