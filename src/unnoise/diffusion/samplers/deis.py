"""The noise changes smoothly with time, or with the log-SNR: so fit it there, and integrate where it counts."""

from collections.abc import Callable, Iterator, Sequence
from typing import Literal

import torch
from numpy.polynomial.legendre import leggauss

from unnoise.diffusion.samplers.grid import Times, time_grid
from unnoise.diffusion.samplers.polynomials import (
    decaying_moments,
    extrapolated,
    polynomial_weights,
    require_order,
)
from unnoise.diffusion.schedules import DiscreteSchedule, OffsetCosine, RatePair, Schedule, log_snr
from unnoise.diffusion.tensors import Denoise, Images, Prediction
from unnoise.utils.errors import require

Variable = Literal["time", "log_snr"]
Weights = Callable[[int, Sequence[int]], list[float]]


def deis(
    denoise: Denoise,
    noises: Images,
    num_steps: int = 20,
    schedule: Schedule = OffsetCosine(),  # noqa: B008 (frozen)
    *,
    order: int = 3,
    variable: Variable = "time",
    lower_order_final: bool = False,
    times: Times | None = None,
    draw_noises: Callable[[], Images] | None = None,
) -> Iterator[Prediction]:
    r"""The diffusion exponential integrator sampler, tAB-DEIS (2204.13902, eq. 14-15).

        y_{t'} = y_t + \int_t^{t'} p(u) dr,      p(u_j) = eps_j,      y = x_t / alpha,   r = sigma / alpha

    where p is a polynomial in u, and u the time or the log-SNR; in r itself it is `adams`. One call of
    `denoise` a step, and DDIM with order = 1. The first step is DDIM's: its error stays of second order unless
    the grid starts with small steps.

    Args:
        denoise, noises, num_steps, schedule, times: as for `samplers.ddim`.
        order: how many are seen at most (the paper's tAB0 is 1), from 1 to 3.
        variable: u; `time` is the paper's, integrated by quadrature along the schedule (a table is joined by
            straight lines); `log_snr` has a closed form.
        lower_order_final: takes order 2, then 1 for the last two steps; where the data are smooth, that costs
            accuracy.
        draw_noises: none are drawn; samplers are called alike.

    Yields:
        as `multistep.multistep`.

    Raises:
        UnnoiseError: for num_steps < 1, an order outside 1 ... 3, or an unknown variable.
    """
    require_order(order, 3, "deis")
    require(
        variable in ("time", "log_snr"),
        f"DEIS fits the noise in time or in log_snr, but got {variable!r}: take time.",
    )
    grid = time_grid(num_steps, schedule, times)
    weights = _in_time(grid, schedule, times) if variable == "time" else _in_log_snr(grid)
    yield from extrapolated(denoise, noises, grid, order, weights, lower_order_final=lower_order_final)


def _in_log_snr(grid: RatePair) -> Weights:
    """With v how far log r has fallen in the step, dr = -r e^{-v} dv; where no noise is left, v has no end."""
    places = (log_snr(*grid) / 2).flatten().tolist()

    def weights(step: int, seen: Sequence[int]) -> list[float]:
        nodes = [places[node] - places[step] for node in seen]
        return polynomial_weights(nodes, decaying_moments(places[step + 1] - places[step], len(seen)))

    return weights


def _in_time(grid: RatePair, schedule: Schedule, times: Times | None) -> Weights:
    r"""With z from 0 to 1 over the step, \int z^k dr = r' - k \int z^{k-1} r dz, by Gauss-Legendre."""
    ratios = _ratios(grid).tolist()
    places = [1 - step / (len(ratios) - 1) for step in range(len(ratios))] if times is None else times.tolist()
    points, shares = (torch.from_numpy(values / 2) for values in leggauss(32))
    z = points + 0.5

    def weights(step: int, seen: Sequence[int]) -> list[float]:
        start, length = places[step], places[step + 1] - places[step]
        first, last = ratios[step], ratios[step + 1]
        between = _between(schedule, start + length * z)
        integrals = [float((shares * z ** (power - 1) * between).sum()) for power in range(1, len(seen))]
        moments = [(last - power * integral) / (last - first) for power, integral in enumerate(integrals, 1)]
        return polynomial_weights([(places[node] - start) / length for node in seen], [1.0, *moments])

    return weights


def _between(schedule: Schedule, times: Times) -> Times:
    """Noise / signal at any times; straight lines join what a table gives at its steps."""
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
