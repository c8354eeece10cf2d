r"""Where a sampler stops on its way: times that are even in t, in the log-SNR, or dense where noise is small.

With r = noise / signal, EDM's sigma, and K steps:

    uniform     t_k = 1 - k / K
    log_snr     log r falls in even steps                  (DPM-Solver, 2206.00927, section 4)
    karras      r^(1 / 7) falls in even steps              (EDM, 2206.00364, eq. 5)

All end at t = 0. The last two start where the schedule does, or at r = 80 if it starts above that or without
signal. Where it ends below r = 0.002, as schedules do that end without noise, they go so far, and to t = 0 in
one last step. Both numbers are EDM's.
"""

from typing import Literal, TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor

from unnoise.diffusion.samplers.grid import Times, even_times, require_steps
from unnoise.diffusion.schedules import DiscreteSchedule, Schedule

Spacing = Literal["uniform", "trailing", "leading", "linspace", "log_snr", "karras"]
"""`trailing`, `leading` and `linspace` choose among the steps of a chain, see `DiscreteSchedule.timesteps`. On
other schedules they are `uniform`, and on a chain `uniform` is `trailing`."""

Ratios: TypeAlias = Float[Tensor, " levels"]
SIGMA_MIN, SIGMA_MAX, RHO = 0.002, 80.0, 7.0
_HALVINGS = 64


def times_of(spacing: Spacing, num_steps: int, schedule: Schedule) -> Times:
    """The num_steps + 1 falling times of a grid, the last of which is 0, in float64.

    On a chain of T steps they are its own, (k + 1) / T: the nearest in log-SNR, or the next that is still free.

    Raises:
        UnnoiseError: for fewer than one step, or more than a chain has.
    """
    require_steps(num_steps)
    if spacing == "log_snr" or spacing == "karras":
        if isinstance(schedule, DiscreteSchedule):
            return _chain_times(_ratios(spacing, num_steps, schedule), num_steps, schedule)
        return _inverse(_ratios(spacing, num_steps, schedule), num_steps, schedule)
    if isinstance(schedule, DiscreteSchedule):
        return schedule.times(num_steps, "trailing" if spacing == "uniform" else spacing)
    return even_times(num_steps)


def _ratios(spacing: Spacing, num_steps: int, schedule: Schedule) -> Ratios:
    """The falling r of a grid, without a last one below SIGMA_MIN."""
    first, last = _ratio(1.0, schedule), _ratio(0.0, schedule)
    count = num_steps + 1 if last >= SIGMA_MIN else num_steps
    if isinstance(schedule, DiscreteSchedule):  # its first step may have more noise than SIGMA_MIN
        last = _ratio(1 / schedule.num_timesteps, schedule)
    ends = torch.tensor([min(first, SIGMA_MAX), max(last, SIGMA_MIN)], dtype=torch.float64)
    bent = ends.log() if spacing == "log_snr" else ends.pow(1 / RHO)
    line = torch.linspace(float(bent[0]), float(bent[1]), count, dtype=torch.float64)
    return line.exp() if spacing == "log_snr" else line.pow(RHO)


def _ratio(time: float, schedule: Schedule) -> float:
    noise, signal = schedule(torch.full((1, 1, 1, 1), time, dtype=torch.float64))
    return float(noise / signal)


def _inverse(ratios: Ratios, num_steps: int, schedule: Schedule) -> Times:
    """The times at which a schedule has these r, by bisection, and 0 at the end."""
    low, high = torch.zeros_like(ratios), torch.ones_like(ratios)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        noise, signal = (rates.flatten() for rates in schedule(middle.view(-1, 1, 1, 1)))
        noisier = noise > ratios * signal  # not divided: the signal may be 0
        low, high = torch.where(noisier, low, middle), torch.where(noisier, middle, high)
    return torch.cat([high[:num_steps], torch.zeros(1, dtype=torch.float64)])


def _chain_times(ratios: Ratios, num_steps: int, schedule: DiscreteSchedule) -> Times:
    """The steps of a chain that are nearest, each taken once: where two are the same, the noisier moves up."""
    total = schedule.num_timesteps
    schedule.timesteps(num_steps)  # refuses more steps than there are
    signal = (1 + ratios.square()).rsqrt().view(-1, 1, 1, 1)
    steps = schedule.timesteps_of(ratios.view(-1, 1, 1, 1) * signal, signal).flatten().long().tolist()
    for place in range(num_steps - 2, -1, -1):
        steps[place] = max(steps[place], steps[place + 1] + 1)
    for place in range(num_steps):  # and not beyond the last
        steps[place] = min(steps[place], total - 1 - place)
    return torch.cat([(torch.tensor(steps).double() + 1) / total, torch.zeros(1, dtype=torch.float64)])
