r"""Time spacing of a sampler: even in t, even in the log-SNR, or Karras's (EDM).

With r = noise / signal (EDM's sigma) and K steps:

    uniform     t_k = 1 - k / K
    log_snr     log r falls in even steps                  (DPM-Solver, 2206.00927, section 4)
    karras      r^(1 / 7) falls in even steps              (EDM, 2206.00364, eq. 5)

All end at t = 0. The last two start at the schedule's largest r, but at most at 80. If the schedule ends below
r = 0.002, K - 1 steps lead to 0.002 and the last one to t = 0. Both limits are EDM's; a shifted schedule shifts
them, too. A network that jumps (see `mean_velocity`) needs no level that is nearly without noise: with `jumps`,
K even steps would lead to 0.002, but the last of them goes on to t = 0.
"""

from typing import TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor

from unnoise.diffusion.sampler_names import Spacing
from unnoise.diffusion.samplers.grid import Times, even_times, require_steps
from unnoise.diffusion.schedules import DiscreteSchedule, Schedule, noise_shift_of

Ratios: TypeAlias = Float[Tensor, " levels"]
SIGMA_MIN, SIGMA_MAX, RHO = 0.002, 80.0, 7.0
_BISECTIONS = 64


def spaced_times(spacing: Spacing, num_steps: int, schedule: Schedule, *, jumps: bool = False) -> Times:
    """The num_steps + 1 falling times of a spacing, the last of which is 0, in float64.

    On a discrete schedule of T timesteps they are (k + 1) / T of the timesteps nearest in log-SNR, each used
    once. `jumps` is for networks that jump: no step begins at a level that is nearly without noise (see above).

    Raises:
        UnnoiseError: for fewer than one step, or more steps than a discrete schedule has.
    """
    require_steps(num_steps)
    if spacing == "log_snr" or spacing == "karras":
        ratios = _ratios(spacing, num_steps, schedule, jumps=jumps)[:num_steps]
        if isinstance(schedule, DiscreteSchedule):
            return _discrete_times(ratios, num_steps, schedule)
        return _inverse(ratios, schedule)
    if isinstance(schedule, DiscreteSchedule):
        return schedule.times(num_steps, "trailing" if spacing == "uniform" else spacing)
    return even_times(num_steps)


def _ratios(spacing: Spacing, num_steps: int, schedule: Schedule, *, jumps: bool) -> Ratios:
    """The falling noise / signal of a grid, without the last one if it is below the least."""
    first, last, shift = _ratio(1.0, schedule), _ratio(0.0, schedule), noise_shift_of(schedule)
    least, most = shift * SIGMA_MIN, shift * SIGMA_MAX
    count = num_steps + 1 if last >= least or jumps else num_steps
    if isinstance(schedule, DiscreteSchedule):  # its first step may have more noise than that
        last = _ratio(1 / schedule.num_timesteps, schedule)
    ends = torch.tensor([min(first, most), max(last, least)], dtype=torch.float64)
    bent = ends.log() if spacing == "log_snr" else ends.pow(1 / RHO)
    line = torch.linspace(float(bent[0]), float(bent[1]), count, dtype=torch.float64)
    return line.exp() if spacing == "log_snr" else line.pow(RHO)


def _ratio(time: float, schedule: Schedule) -> float:
    noise, signal = schedule(torch.full((1, 1, 1, 1), time, dtype=torch.float64))
    return float(noise / signal)


def _inverse(ratios: Ratios, schedule: Schedule) -> Times:
    """The times at which a schedule has these noise / signal, by bisection, and 0 at the end."""
    low, high = torch.zeros_like(ratios), torch.ones_like(ratios)
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        noise, signal = (rates.flatten() for rates in schedule(middle.view(-1, 1, 1, 1)))
        noisier = noise > ratios * signal  # not divided: the signal may be 0
        low, high = torch.where(noisier, low, middle), torch.where(noisier, middle, high)
    return torch.cat([high, torch.zeros(1, dtype=torch.float64)])


def _discrete_times(ratios: Ratios, num_steps: int, schedule: DiscreteSchedule) -> Times:
    """The times of the nearest timesteps; of two equal ones the noisier is moved to the next free timestep."""
    total = schedule.num_timesteps
    schedule.timesteps(num_steps)  # raises for more steps than timesteps
    signal = (1 + ratios.square()).rsqrt().view(-1, 1, 1, 1)
    steps = schedule.timesteps_of(ratios.view(-1, 1, 1, 1) * signal, signal).flatten().long().tolist()
    for place in range(num_steps - 2, -1, -1):
        steps[place] = max(steps[place], steps[place + 1] + 1)
    for place in range(num_steps):  # not beyond the last timestep
        steps[place] = min(steps[place], total - 1 - place)
    return torch.cat([(torch.tensor(steps).double() + 1) / total, torch.zeros(1, dtype=torch.float64)])
