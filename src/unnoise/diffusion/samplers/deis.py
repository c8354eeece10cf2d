"""DEIS sampler: exponential Adams-Bashforth for steps of any length (Zhang and Chen, 2204.13902)."""

from collections.abc import Callable, Iterator, Sequence
from typing import Literal

import torch
from numpy.polynomial.legendre import leggauss

from unnoise.diffusion.samplers.adams_bashforth import linear_multistep
from unnoise.diffusion.samplers.grid import Times, even_times, time_grid
from unnoise.diffusion.samplers.polynomials import exponential_moments, polynomial_weights, require_order
from unnoise.diffusion.schedules import DiscreteSchedule, OffsetCosine, RatePair, Schedule, log_snr
from unnoise.diffusion.tensors import Denoise, Images, Prediction
from unnoise.utils.errors import require

Variable = Literal["time", "log_snr", "ratio"]
Weights = Callable[[int, Sequence[int]], list[float]]
"""(step, the steps whose eps are used) -> the weight of each eps."""


def deis(
    denoise: Denoise,
    noises: Images,
    num_steps: int = 20,
    schedule: Schedule = OffsetCosine(),  # noqa: B008 (frozen)
    *,
    order: int = 3,
    variable: Variable = "time",
    times: Times | None = None,
    draw_noises: Callable[[], Images] | None = None,
) -> Iterator[Prediction]:
    r"""DEIS sampler (2204.13902, eq. 14-15).

        y_{t'} = y_t + \int_t^{t'} p(u) dr,      p(u_j) = eps_j,      y = x_t / alpha,   r = sigma / alpha

    where p is the polynomial in u through the last values of eps. It is exact where eps is a polynomial in u of
    a degree below the order, for steps of any length. One call of `denoise` a step. Order 1 is DDIM. The first
    step is DDIM's: the error is of second order unless the grid starts with small steps.

    Args:
        denoise, noises, num_steps, schedule, times: as for `ddim`.
        order: the largest number of values, from 1 to 4 (the paper's tAB0 is order 1).
        variable: u. `time` is the paper's tAB-DEIS, integrated numerically along the schedule (the ratios r of
            a discrete schedule are interpolated linearly). `ratio`, u = r, is its rhoAB-DEIS: Adams-Bashforth
            with the coefficients for uneven steps. `log_snr` is the form in diffusers. The last two have a
            closed form.
        draw_noises: not used: the sampler is deterministic. All samplers have this argument.

    Yields:
        `Prediction(noises, images)`, as `adams_bashforth`.

    Raises:
        UnnoiseError: for num_steps < 1, an order outside 1 ... 4, or an unknown variable.
    """
    require_order(order, 4, "deis")
    require(
        variable in ("time", "log_snr", "ratio"),
        f"DEIS's variable is time, log_snr or ratio, but got {variable!r}: take time.",
    )
    grid = time_grid(num_steps, schedule, times)
    match variable:
        case "time":
            weights = _weights_in_time(grid, schedule, even_times(num_steps) if times is None else times)
        case "log_snr":
            weights = _weights_in_log_snr(grid)
        case "ratio":
            weights = _weights_in_ratio(grid)
    yield from linear_multistep(denoise, noises, grid, order, weights)


def _weights_in_ratio(grid: RatePair) -> Weights:
    """The mean of r^k over the step: with z from 0 to 1 over the step, that of z^k is 1 / (k + 1)."""
    ratios = _ratios(grid).tolist()

    def weights(step: int, used: Sequence[int]) -> list[float]:
        length = ratios[step + 1] - ratios[step]
        nodes = [(ratios[node] - ratios[step]) / length for node in used]
        return polynomial_weights(nodes, [1 / (power + 1) for power in range(len(used))])

    return weights


def _weights_in_log_snr(grid: RatePair) -> Weights:
    """With v the fall of log r since the start of the step, dr = -r e^{-v} dv; v is infinite without noise."""
    places = (log_snr(*grid) / 2).flatten().tolist()

    def weights(step: int, used: Sequence[int]) -> list[float]:
        nodes = [places[node] - places[step] for node in used]
        return polynomial_weights(nodes, exponential_moments(places[step + 1] - places[step], len(used)))

    return weights


def _weights_in_time(grid: RatePair, schedule: Schedule, times: Times) -> Weights:
    r"""With z from 0 to 1 over the step, \int z^k dr = r' - k \int z^{k-1} r dz, by Gauss-Legendre."""
    ratios, places = _ratios(grid).tolist(), times.tolist()
    points, shares = (torch.from_numpy(values / 2) for values in leggauss(32))
    z = points + 0.5

    def weights(step: int, used: Sequence[int]) -> list[float]:
        start, length = places[step], places[step + 1] - places[step]
        first, last = ratios[step], ratios[step + 1]
        between = _ratios_at(schedule, start + length * z)
        integrals = [float((shares * z ** (power - 1) * between).sum()) for power in range(1, len(used))]
        moments = [(last - power * integral) / (last - first) for power, integral in enumerate(integrals, 1)]
        return polynomial_weights([(places[node] - start) / length for node in used], [1.0, *moments])

    return weights


def _ratios_at(schedule: Schedule, times: Times) -> Times:
    """Noise / signal at any times; between the timesteps of a discrete schedule by linear interpolation."""
    if not isinstance(schedule, DiscreteSchedule):
        return _ratios(schedule(times.view(-1, 1, 1, 1)))
    places = times * schedule.num_timesteps
    lower, upper = (
        _ratios(schedule(steps.view(-1, 1, 1, 1) / schedule.num_timesteps))
        for steps in (places.floor(), places.ceil())
    )
    return torch.lerp(lower, upper, places.frac())


def _ratios(rates: RatePair) -> Times:
    """Noise / signal."""
    return (rates.noise_rates / rates.signal_rates).flatten()
