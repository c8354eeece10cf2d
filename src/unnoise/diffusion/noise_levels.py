r"""Distribution of noise levels in training: uniform, log-normal, or importance-sampled by the loss.

Independent of the schedule that samplers walk along: a run may train on log-normal noise levels and sample
along a cosine.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from unnoise.diffusion.schedules import Schedule, rates_of_log_snr, shift_rates
from unnoise.diffusion.tensors import PerImage, Rates
from unnoise.utils.errors import require

_MOST = 10_000
"""Slices, and losses in each, that `LossAware` may remember."""


class DrawnLevels(NamedTuple):
    """Noise levels of a batch, one for each image, on the generator's device."""

    noise_rates: Rates
    signal_rates: Rates
    times: Rates | None = None
    """Diffusion times, where they are importance-sampled; otherwise None."""
    weights: PerImage | None = None
    """Weight of each loss, 1 / (K p_k), where times are importance-sampled; otherwise None."""


@runtime_checkable
class NoiseLevels(Protocol):
    """A distribution of noise levels."""

    def draw(self, count: int, schedule: Schedule, generator: torch.Generator) -> DrawnLevels:
        """Draws the levels of `count` images: rates of shape (count, 1, 1, 1), on the generator's device."""
        ...


def uniform(count: int, generator: torch.Generator, *, stratified: bool) -> Rates:
    """Uniform random numbers in [0, 1), (count, 1, 1, 1).

    Stratified: one number in each of `count` equal slices. Each number is still uniform, but a batch covers
    [0, 1] evenly, which makes its loss less noisy (VDM, 2107.00630, appendix I.1).
    """
    numbers = torch.rand(count, 1, 1, 1, generator=generator, device=generator.device)
    if not stratified:
        return numbers
    slices = torch.arange(count, device=generator.device).view(-1, 1, 1, 1)
    return ((slices + numbers) / count).clamp(max=1 - 2**-24)


@dataclass(frozen=True)
class UniformTimes:
    """Uniform diffusion times, t ~ U[0, 1), through the schedule (DDPM, 2006.11239, algorithm 1)."""

    stratified: bool = False

    def draw(self, count: int, schedule: Schedule, generator: torch.Generator) -> DrawnLevels:
        """Returns schedule(t)."""
        return DrawnLevels(*schedule(uniform(count, generator, stratified=self.stratified)))


@dataclass(frozen=True)
class UniformPower:
    """Uniform noise power, sigma^2 ~ U[0, 1), independent of the schedule (clear-diffusion-keras)."""

    stratified: bool = False

    def draw(self, count: int, schedule: Schedule, generator: torch.Generator) -> DrawnLevels:
        """Returns (sqrt p, sqrt(1 - p)); the schedule is not used."""
        power = uniform(count, generator, stratified=self.stratified)
        return DrawnLevels(power.sqrt(), (1 - power).sqrt())


@dataclass(frozen=True)
class LogNormal:
    r"""Log-normal noise levels, log(noise / signal) ~ N(mean, std^2) (EDM, 2206.00364, table 1).

    Independent of the schedule. Training concentrates on middle levels, where the picture takes shape. EDM's
    ln(sigma) ~ N(-1.2, 1.2^2) with data of standard deviation 0.5 is mean = -1.2 - ln 0.5 = -0.5 for data of
    unit variance.

    Raises:
        UnnoiseError: unless std > 0.
    """

    mean: float = -0.5
    std: float = 1.2
    stratified: bool = True

    def __post_init__(self) -> None:
        require(self.std > 0, f"LogNormal's std is above 0, but got {self.std}. Try 1.2.")

    def draw(self, count: int, schedule: Schedule, generator: torch.Generator) -> DrawnLevels:
        """Returns the rates of the drawn log-SNRs; the schedule is not used."""
        numbers = uniform(count, generator, stratified=self.stratified)
        normal = math.sqrt(2) * torch.erfinv((2 * numbers - 1).clamp(-1 + 2**-23, 1 - 2**-23))
        return DrawnLevels(*rates_of_log_snr(-2 * (self.mean + self.std * normal)))


@dataclass(frozen=True)
class LossAware:
    """Times importance-sampled by their loss (Improved DDPM, 2102.09672, section 3.3); see `LossHistory`.

    Args:
        num_slices: K, the number of equal slices that the times from 0 to 1 are divided into.
        memory: how many losses are remembered of each slice.
        uniform: the fraction of draws that stays uniform, so that no slice is forgotten.

    Raises:
        UnnoiseError: for fewer than 1 slice or loss, or a fraction outside [0, 1].
    """

    num_slices: int = 64
    memory: int = 10
    uniform: float = 0.001

    def __post_init__(self) -> None:
        require(
            1 <= self.num_slices <= _MOST and 1 <= self.memory <= _MOST and 0 <= self.uniform <= 1,
            f"LossAware needs 1 to {_MOST:,} slices, 1 to {_MOST:,} losses in each, and a uniform part from "
            f"0 to 1, but got {self.num_slices}, {self.memory} and {self.uniform:g}. Try 64, 10 and 0.001.",
        )

    def draw(self, count: int, schedule: Schedule, generator: torch.Generator) -> DrawnLevels:
        """Uniform times, through the schedule: for testing. Training draws from a `LossHistory`."""
        return DrawnLevels(*schedule(uniform(count, generator, stratified=True)))


class LossHistory(nn.Module):
    r"""Importance sampling of times by the losses seen so far: the training side of `LossAware`.

        p_k = sqrt(E[L_k^2]) / sum_j sqrt(E[L_j^2]),    loss = L_k / (K p_k)      (2102.09672, eq. 18)

    The expected loss is the same for every p; this p gives it the least variance. E[L_k^2] is the mean over the
    last losses of slice k, one of K equal slices of time. An `nn.Module` only for its `state_dict`, which a run
    stores.
    """

    losses: Tensor
    counts: Tensor

    def __init__(self, levels: LossAware) -> None:
        super().__init__()
        self.levels = levels
        self.register_buffer("losses", torch.zeros(levels.num_slices, levels.memory))
        self.register_buffer("counts", torch.zeros(levels.num_slices, dtype=torch.int64))

    def probabilities(self) -> Float[Tensor, " slices"]:
        """The probability of each slice; equal until each has a full memory."""
        slices, floor = self.levels.num_slices, self.levels.uniform
        even = torch.full((slices,), 1 / slices, device=self.losses.device)
        wanted = self.losses.square().mean(1).sqrt()
        learned = torch.lerp(wanted / wanted.sum().clamp(min=1e-12), even, floor)
        return torch.where(self.counts.min() < self.levels.memory, even, learned)

    def draw(self, count: int, schedule: Schedule, generator: torch.Generator) -> DrawnLevels:
        """Draws times by their probabilities, with the weights of their losses."""
        probabilities = self.probabilities().to(generator.device)
        # One alone would be drawn in another way, which waits for the device.
        chosen = torch.multinomial(probabilities, max(count, 2), replacement=True, generator=generator)[:count]
        inside = torch.rand(count, generator=generator, device=generator.device)
        times = ((chosen + inside) / self.levels.num_slices).view(-1, 1, 1, 1)
        weights = 1 / (self.levels.num_slices * probabilities[chosen])
        return DrawnLevels(*schedule(times), times, weights)

    def record(self, times: PerImage | Rates, losses: PerImage) -> None:
        """Stores the unweighted losses at these times in place of the oldest; ignores those not finite.

        Nothing is read by the host: losses of one slice are sorted together, and those that are ignored, or
        would be overwritten at once, go into a row behind the last slice.
        """
        (slices, memory), losses = self.losses.shape, losses.detach().float().to(self.losses.device)
        found = (times.flatten().to(losses.device) * slices).long().clamp(0, slices - 1)
        rows, order = found.masked_fill(~losses.isfinite(), slices).sort(stable=True)
        places = torch.arange(len(rows), device=rows.device)
        first, end = torch.searchsorted(rows, rows), torch.searchsorted(rows, rows, right=True)
        columns = (functional.pad(self.counts, (0, 1))[rows] + places - first) % memory
        rows_kept = rows.masked_fill(end - places > memory, slices)
        table = functional.pad(self.losses, (0, 0, 0, 1)).flatten()
        table.scatter_(0, rows_kept * memory + columns, losses[order])
        self.losses.copy_(table[: slices * memory].view(slices, memory))
        borders = torch.searchsorted(rows, torch.arange(slices + 1, device=rows.device))
        self.counts.add_(borders.diff())


AnyNoiseLevels = UniformTimes | UniformPower | LogNormal | LossAware
"""Every distribution of noise levels that a run's config.json can name."""


@dataclass(frozen=True)
class ShiftedLevels:
    """Noise levels with s times the ratio of noise to signal; see `schedules.shifted`.

    log(noise / signal) ~ N(mean, std^2) becomes N(mean + log s, std^2).

    Args:
        base: the distribution that is shifted.
        noise_shift: s; above 1 means more noise.
    """

    base: NoiseLevels
    noise_shift: float

    def draw(self, count: int, schedule: Schedule, generator: torch.Generator) -> DrawnLevels:
        """Draws from the base, with the same random numbers, and shifts the rates."""
        drawn = self.base.draw(count, schedule, generator)
        return DrawnLevels(*shift_rates(drawn.noise_rates, drawn.signal_rates, self.noise_shift))


def shifted_levels(levels: AnyNoiseLevels, noise_shift: float) -> NoiseLevels:
    """Noise levels to train with on a schedule shifted by s.

    Times are drawn as before, since the schedule shifts their levels; other distributions are shifted here.
    """
    if noise_shift == 1 or isinstance(levels, UniformTimes | LossAware):
        return levels
    return ShiftedLevels(levels, noise_shift)
