r"""In training every image gets its own random noise level; this is how the levels are spread.

The schedule of sampling and the levels of training are two choices: a run may train on a log-normal spread
and sample along a cosine.
"""

import math
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch

from unnoise.diffusion.schedules import RatePair, Schedule, rates_of_log_snr
from unnoise.diffusion.tensors import Rates
from unnoise.utils.errors import require

_MOST = 10_000
"""Slices, and losses in each, that `LossAware` may remember."""


@runtime_checkable
class NoiseLevels(Protocol):
    """Draws the rates of a batch."""

    def draw(self, count: int, schedule: Schedule, generator: torch.Generator) -> RatePair:
        """Returns (noise_rates, signal_rates), each (count, 1, 1, 1), on the generator's device."""
        ...


def uniform(count: int, generator: torch.Generator, *, stratified: bool) -> Rates:
    """`count` numbers uniform in [0, 1), as (count, 1, 1, 1).

    Stratified: one in each of `count` equal slices. Every number is still uniform, but the batch covers
    [0, 1] evenly, which makes its loss less noisy (VDM, 2107.00630, appendix I.1).
    """
    numbers = torch.rand(count, 1, 1, 1, generator=generator, device=generator.device)
    if not stratified:
        return numbers
    slices = torch.arange(count, device=generator.device).view(-1, 1, 1, 1)
    return ((slices + numbers) / count).clamp(max=1 - 2**-24)


@dataclass(frozen=True)
class UniformTimes:
    """t ~ U[0, 1), one for each image, through the schedule (Keras DDIM; DDPM, 2006.11239, algorithm 1)."""

    stratified: bool = False

    def draw(self, count: int, schedule: Schedule, generator: torch.Generator) -> RatePair:
        """Returns schedule(t)."""
        return RatePair(*schedule(uniform(count, generator, stratified=self.stratified)))


@dataclass(frozen=True)
class UniformPower:
    """The noise power sigma^2 ~ U[0, 1), whatever the schedule of sampling (clear-diffusion-keras)."""

    stratified: bool = False

    def draw(self, count: int, schedule: Schedule, generator: torch.Generator) -> RatePair:
        """Returns (sqrt p, sqrt(1 - p)); the schedule is not used."""
        power = uniform(count, generator, stratified=self.stratified)
        return RatePair(power.sqrt(), (1 - power).sqrt())


@dataclass(frozen=True)
class LogNormal:
    r"""log(noise / signal) ~ N(mean, std^2), whatever the schedule of sampling (EDM, 2206.00364, table 1).

    Training effort goes to the middle levels, where the picture is decided. EDM's ln(sigma) ~ N(-1.2, 1.2^2)
    with data of standard deviation 0.5 is mean = -1.2 - ln 0.5 = -0.5 for data of unit variance.

    Raises:
        UnnoiseError: unless std > 0.
    """

    mean: float = -0.5
    std: float = 1.2
    stratified: bool = True

    def __post_init__(self) -> None:
        require(self.std > 0, f"LogNormal's std is above 0, but got {self.std}: take 1.2 if in doubt.")

    def draw(self, count: int, schedule: Schedule, generator: torch.Generator) -> RatePair:
        """Returns the rates of the drawn log-SNRs; the schedule is not used."""
        numbers = uniform(count, generator, stratified=self.stratified)
        normal = math.sqrt(2) * torch.erfinv((2 * numbers - 1).clamp(-1 + 2**-23, 1 - 2**-23))
        return rates_of_log_snr(-2 * (self.mean + self.std * normal))


@dataclass(frozen=True)
class LossAware:
    """Times are importance-sampled by the losses seen there; see `loss_history`, which keeps them.

    Args:
        num_slices: K, into which the times from 0 to 1 are divided.
        memory: how many losses are remembered of each.
        uniform: this part of all draws is uniform, so that no slice is forgotten.

    Raises:
        UnnoiseError: for fewer than 1 slice or loss, or a part outside [0, 1].
    """

    num_slices: int = 64
    memory: int = 10
    uniform: float = 0.001

    def __post_init__(self) -> None:
        require(
            1 <= self.num_slices <= _MOST and 1 <= self.memory <= _MOST and 0 <= self.uniform <= 1,
            f"LossAware needs at least 1 slice and 1 loss, at most {_MOST:,} of either, and uniform from 0 to "
            f"1, but got {self.num_slices}, {self.memory} and {self.uniform:g}: take 64, 10 and 0.001.",
        )

    def draw(self, count: int, schedule: Schedule, generator: torch.Generator) -> RatePair:
        """Uniform times, through the schedule: what is tested with, and drawn before anything is known."""
        return RatePair(*schedule(uniform(count, generator, stratified=True)))


AnyNoiseLevels = UniformTimes | UniformPower | LogNormal | LossAware
"""Every spread that a run's config.json can name."""
