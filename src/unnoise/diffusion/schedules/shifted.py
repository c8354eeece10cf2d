r"""Shifted noise schedules: more noise for larger pictures (simple diffusion, 2301.11093, section 3.1).

    sigma' / alpha' = s sigma / alpha,      log-SNR' = log-SNR - 2 log s,      sigma'^2 + alpha'^2 = 1

Averaging k x k pixels divides the noise by k, but hardly changes a picture whose neighbouring pixels are alike:
at equal noise levels more is left of a larger picture. With s = side / 32, one that is scaled down to 32 pixels
is as noisy as one of 32. On `RectifiedFlow` this is the timestep shift of Stable Diffusion 3 (2403.03206, eq.
23), t' = s t / (1 + (s - 1) t).
"""

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float64
from torch import Tensor

from unnoise.diffusion.schedules.discrete import DiscreteSchedule
from unnoise.diffusion.tensors import RatePair, Rates, Schedule
from unnoise.utils.errors import require

REFERENCE_SIDE = 32
"""Side of the pictures, in pixels, for which the schedules are made: there the shift by size is 1."""
_LEAST, _MOST = 0.01, 1000.0


def require_noise_shift(noise_shift: float) -> None:
    """Raises `UnnoiseError` unless a shift is from 0.01 to 1,000."""
    require(
        _LEAST <= noise_shift <= _MOST,
        f"The noise shift is from {_LEAST:g} to {_MOST:,g}, but got {noise_shift:g}. Take 1 for none, or the "
        f"side of the pictures / {REFERENCE_SIDE}.",
    )


def noise_shift_for(height: int, width: int) -> float:
    """The shift s for pictures of this size: the geometric mean of their sides / 32."""
    return math.sqrt(height * width) / REFERENCE_SIDE


def shift_rates(noise_rates: Rates, signal_rates: Rates, noise_shift: float) -> RatePair:
    """The rates with s times the ratio of noise to signal: (s sigma, alpha) / sqrt(s^2 sigma^2 + alpha^2)."""
    noisier = noise_shift * noise_rates
    length = torch.hypot(noisier, signal_rates)
    return RatePair(noisier / length, signal_rates / length)


@dataclass(frozen=True)
class ShiftedSchedule:
    """Shifted schedule: a continuous one with s times its ratio of noise to signal at each time.

    Args:
        base: the schedule that is shifted.
        noise_shift: s; above 1 means more noise.

    Raises:
        UnnoiseError: for a shift that is out of range.
    """

    base: Schedule
    noise_shift: float

    def __post_init__(self) -> None:
        require_noise_shift(self.noise_shift)

    def __call__(self, diffusion_times: Rates) -> RatePair:
        """Returns the shifted rates, each (B, 1, 1, 1)."""
        return shift_rates(*self.base(diffusion_times), self.noise_shift)


@dataclass(frozen=True, kw_only=True)
class ShiftedTimesteps(DiscreteSchedule):
    """Shifted discrete schedule: each timestep has s times the ratio of noise to signal.

        alpha_bar' = alpha_bar / (alpha_bar + s^2 (1 - alpha_bar))

    It is a table like any other: all that holds of a `DiscreteSchedule` holds of it, with betas of its own. A
    network that is told the timestep learns what noise it means now. No signal at the end stays no signal.

    Args:
        base: the schedule that is shifted; `num_timesteps` is its own.
        noise_shift: s; above 1 means more noise.

    Raises:
        UnnoiseError: for a shift that is out of range.
    """

    base: DiscreteSchedule
    noise_shift: float

    def __post_init__(self) -> None:
        require_noise_shift(self.noise_shift)
        object.__setattr__(self, "num_timesteps", self.base.num_timesteps)
        super().__post_init__()

    @cached_property
    def alphas_cumprod(self) -> Float64[Tensor, " T"]:
        """The shifted table."""
        signal = self.base.alphas_cumprod
        return signal / (signal + self.noise_shift**2 * (1 - signal))


def shifted(schedule: Schedule, noise_shift: float) -> Schedule:
    """The schedule with s times its ratio of noise to signal; itself for s = 1."""
    if noise_shift == 1:
        return schedule
    if isinstance(schedule, DiscreteSchedule):
        return ShiftedTimesteps(base=schedule, noise_shift=noise_shift)
    return ShiftedSchedule(schedule, noise_shift)


def noise_shift_of(schedule: Schedule) -> float:
    """The shift s of a schedule, and 1 of one that is not shifted."""
    return schedule.noise_shift if isinstance(schedule, ShiftedSchedule | ShiftedTimesteps) else 1.0
