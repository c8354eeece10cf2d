r"""Discrete schedules: the beta tables of DDPM (linear, quadratic, sigmoid, cosine), zero terminal SNR.

    x_k = sqrt(1 - beta_k) x_{k-1} + sqrt(beta_k) eps          (DDPM, 2006.11239, eq. 2)
    signal_rate_k^2 = alpha_bar_k = prod_{i <= k} (1 - beta_i),    noise_rate_k^2 = 1 - alpha_bar_k

Timesteps are counted 0 ... T - 1 as in the paper's code; timestep k is the diffusion time (k + 1) / T, and time
0 is the clean image. Tables are computed in float64: a product of a thousand float32 factors is not accurate.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from unnoise.diffusion.tensors import RatePair, Rates, ResidentTable, in_float64, log_snr
from unnoise.utils.errors import require

TimestepSpacing = Literal["trailing", "leading", "linspace"]
MOST_TIMESTEPS = 1_000_000
_ROUNDING = 1e-3
"""A time counts as that of a timestep up to this fraction of 1 / T, as k / T is rounded in float32."""


@dataclass(frozen=True)
class DiscreteSchedule(ABC):
    """Abstract discrete schedule of T noise levels, given by `alphas_cumprod`.

    Args:
        num_timesteps: T, at least 2.

    Raises:
        UnnoiseError: for another number of timesteps, or a beta outside (0, 1].
    """

    num_timesteps: int = 1000

    def __post_init__(self) -> None:
        require(
            2 <= self.num_timesteps <= MOST_TIMESTEPS,
            f"{type(self).__name__} needs at least 2 timesteps, and at most {MOST_TIMESTEPS:,}, but got "
            f"{self.num_timesteps}: take 1000.",
        )
        falling = self.alphas_cumprod.diff()
        require(
            bool((falling < 0).all())
            and float(self.alphas_cumprod[-1]) >= 0
            and float(self.alphas_cumprod[0]) < 1,
            f"{self} does not add noise in every timestep: all betas must be above 0 and at most 1.",
        )

    @property
    @abstractmethod
    def alphas_cumprod(self) -> Float64[Tensor, " T"]:
        """The signal powers alpha_bar_0 ... alpha_bar_{T-1}, falling."""

    @property
    def betas(self) -> Float64[Tensor, " T"]:
        """The variances beta_k = 1 - alpha_bar_k / alpha_bar_{k-1}, with alpha_bar_{-1} = 1."""
        return 1 - self.alphas_cumprod / self._powers[:-1]

    @cached_property
    def _powers(self) -> Float64[Tensor, " steps"]:
        """The signal powers at the T + 1 times 0, 1 / T, ..., 1."""
        return torch.cat([torch.ones(1, dtype=torch.float64), self.alphas_cumprod])

    @cached_property
    def _resident_powers(self) -> ResidentTable:
        return ResidentTable(self._powers)

    @cached_property
    def _borders(self) -> ResidentTable:
        """Minus the log-SNR halfway between neighbouring timesteps, rising."""
        rising = (-self.alphas_cumprod).log1p() - self.alphas_cumprod.log()
        return ResidentTable((rising[1:] + rising[:-1]) / 2)

    def __call__(self, diffusion_times: Rates) -> RatePair:
        """The rates of the timestep of each time (B, 1, 1, 1): k for k / T < t <= (k + 1) / T."""
        steps = torch.ceil(in_float64(diffusion_times) * self.num_timesteps - _ROUNDING).long()
        powers = self._resident_powers[steps.device, torch.float64][steps.clamp(0, self.num_timesteps)]
        noise_rates, signal_rates = (
            power.sqrt().to(diffusion_times.dtype).to(diffusion_times.device) for power in (1 - powers, powers)
        )
        return RatePair(noise_rates, signal_rates)

    def timesteps_of(self, noise_rates: Rates, signal_rates: Rates) -> Rates:
        """The timestep 0 ... T - 1 nearest in log-SNR, as a float: the condition of a DDPM network."""
        wanted = -in_float64(log_snr(noise_rates, signal_rates))
        steps = torch.searchsorted(self._borders[wanted.device, torch.float64], wanted, right=True)
        return steps.to(noise_rates.dtype).to(noise_rates.device)

    def timesteps(self, num_steps: int, spacing: TimestepSpacing = "trailing") -> Int64[Tensor, " steps"]:
        """The timesteps that a sampler of fewer steps takes, falling (2305.08891, table 2).

        trailing: round(T, T - T / K, ...) - 1; it starts at pure noise, timestep T - 1.
        leading: (K - 1) T // K, ..., T // K, 0. linspace: round(linspace(T - 1, 0)).

        Raises:
            UnnoiseError: unless 1 <= num_steps <= T.
        """
        total = self.num_timesteps
        require(
            1 <= num_steps <= total,
            f"A schedule of {total} timesteps is sampled in 1 to {total} steps, but got {num_steps}.",
        )
        count = torch.arange(num_steps, dtype=torch.float64)
        match spacing:
            case "trailing":
                return (total - count * (total / num_steps)).round().long() - 1
            case "leading":
                return (count * (total // num_steps)).long().flip(0)
            case "linspace":
                return torch.linspace(0, total - 1, num_steps, dtype=torch.float64).round().long().flip(0)

    def times(self, num_steps: int, spacing: TimestepSpacing = "trailing") -> Float64[Tensor, " grid"]:
        """The same as diffusion times, with 0 at the end: the `times` of a sampler."""
        chosen = (self.timesteps(num_steps, spacing).double() + 1) / self.num_timesteps
        return torch.cat([chosen, torch.zeros(1, dtype=torch.float64)])


@dataclass(frozen=True)
class BetaSchedule(DiscreteSchedule):
    """Abstract discrete schedule given by its betas, from a first to a last one.

    Args:
        first_beta, last_beta: for 1,000 timesteps.
        rescale: multiplies the betas by 1000 / T, so that every T ends in noise. Without it, T = 200 leaves a
            signal rate of 0.3636 at the last timestep, while sampling starts without signal.

    Raises:
        UnnoiseError: unless 0 < first_beta <= last_beta and every (rescaled) beta is below 1.
    """

    first_beta: float = 1e-4
    last_beta: float = 0.02
    rescale: bool = True

    def __post_init__(self) -> None:
        largest = self.last_beta * self._scale
        require(
            0 < self.first_beta <= self.last_beta and largest < 1,
            f"{type(self).__name__} needs 0 < first_beta <= last_beta and a last beta below 1, but got "
            f"{self.first_beta:g} and {self.last_beta:g}, at {self.num_timesteps} timesteps {largest:g}: "
            "take 1e-4 and 0.02, and more timesteps.",
        )
        super().__post_init__()

    @property
    def _scale(self) -> float:
        return 1000 / max(1, self.num_timesteps) if self.rescale else 1.0

    @abstractmethod
    def _unscaled(self) -> Float64[Tensor, " T"]:
        """The betas before they are multiplied by 1000 / T."""

    @cached_property
    def alphas_cumprod(self) -> Float64[Tensor, " T"]:
        """The cumulative product of 1 - beta."""
        return (1 - self._unscaled() * self._scale).cumprod(0)

    def _line(self, first: float, last: float) -> Float64[Tensor, " T"]:
        return torch.linspace(first, last, self.num_timesteps, dtype=torch.float64)


@dataclass(frozen=True)
class LinearBeta(BetaSchedule):
    """Linear beta schedule (DDPM, 2006.11239, section 4)."""

    def _unscaled(self) -> Float64[Tensor, " T"]:
        return self._line(self.first_beta, self.last_beta)


@dataclass(frozen=True)
class QuadraticBeta(BetaSchedule):
    """Quadratic beta schedule, linear in sqrt(beta) (2112.10752; `scaled_linear` in diffusers)."""

    def _unscaled(self) -> Float64[Tensor, " T"]:
        return self._line(self.first_beta**0.5, self.last_beta**0.5).square()


@dataclass(frozen=True)
class SigmoidBeta(BetaSchedule):
    """Sigmoid beta schedule: the betas rise along a sigmoid from -6 to 6 (GeoDiff, 2203.02923)."""

    def _unscaled(self) -> Float64[Tensor, " T"]:
        return self.first_beta + (self.last_beta - self.first_beta) * self._line(-6, 6).sigmoid()


@dataclass(frozen=True)
class AlphaBarSchedule(DiscreteSchedule):
    """Abstract discrete schedule given by alpha_bar as a function of time; it ends in noise for every T.

    Args:
        smallest_beta, largest_beta: the betas are clipped to this range; without it the last one would be 1.

    Raises:
        UnnoiseError: unless 0 <= smallest_beta < largest_beta <= 1.
    """

    smallest_beta: float = 0.0
    largest_beta: float = 0.999

    def __post_init__(self) -> None:
        require(
            0 <= self.smallest_beta < self.largest_beta <= 1,
            f"{type(self).__name__} needs 0 <= smallest_beta < largest_beta <= 1, but got "
            f"{self.smallest_beta:g} and {self.largest_beta:g}: take 0 and 0.999.",
        )
        super().__post_init__()

    @abstractmethod
    def _alpha_bar(self, times: Float64[Tensor, " steps"]) -> Float64[Tensor, " steps"]:
        """alpha_bar(t), up to a constant factor: only ratios are used."""

    @cached_property
    def alphas_cumprod(self) -> Float64[Tensor, " T"]:
        """The cumulative product of 1 - the clipped beta."""
        times = torch.arange(self.num_timesteps + 1, dtype=torch.float64) / self.num_timesteps
        powers = self._alpha_bar(times)
        betas = (1 - powers[1:] / powers[:-1]).clamp(self.smallest_beta, self.largest_beta)
        return (1 - betas).cumprod(0)


@dataclass(frozen=True)
class CosineBeta(AlphaBarSchedule):
    """Cosine schedule: alpha_bar(t) = cos^2(pi / 2 (t + s) / (1 + s)) (Improved DDPM, 2102.09672, eq. 17)."""

    offset: float = 0.008

    def __post_init__(self) -> None:
        require(self.offset >= 0, f"CosineBeta's offset is at least 0, but got {self.offset:g}: take 0.008.")
        super().__post_init__()

    def _alpha_bar(self, times: Float64[Tensor, " steps"]) -> Float64[Tensor, " steps"]:
        return ((times + self.offset) / (1 + self.offset) * (torch.pi / 2)).cos().square()


@dataclass(frozen=True)
class SigmoidAlphaBar(AlphaBarSchedule):
    """Sigmoid schedule: alpha_bar(t) along a sigmoid from `start` to `end`, temperature tau (2212.11972)."""

    start: float = -3.0
    end: float = 3.0
    tau: float = 1.0

    def __post_init__(self) -> None:
        require(
            self.start < self.end and self.tau > 0,
            f"SigmoidAlphaBar needs start < end and tau > 0, but got {self.start:g}, {self.end:g} and "
            f"{self.tau:g}: take -3, 3 and 1.",
        )
        super().__post_init__()

    def _alpha_bar(self, times: Float64[Tensor, " steps"]) -> Float64[Tensor, " steps"]:
        ends = torch.tensor([self.start, self.end], dtype=torch.float64)
        first, last = (ends / self.tau).sigmoid()
        falling = last - ((self.start + times * (self.end - self.start)) / self.tau).sigmoid()
        return torch.div(falling, last - first)


AnyChain = LinearBeta | QuadraticBeta | SigmoidBeta | CosineBeta | SigmoidAlphaBar


@dataclass(frozen=True)
class ZeroTerminalSNR(DiscreteSchedule):
    """Zero terminal SNR: another discrete schedule, rescaled to no signal at its end (2305.08891, algorithm 1).

        signal' = (signal - signal_{T-1}) signal_0 / (signal_0 - signal_{T-1})

    The first timestep is unchanged. At the last one the image does not follow from a predicted noise: predict
    the velocity or the image.

    Args:
        base: the schedule whose table is rescaled; `num_timesteps` is its own.
    """

    base: AnyChain = LinearBeta()

    def __post_init__(self) -> None:
        object.__setattr__(self, "num_timesteps", self.base.num_timesteps)
        super().__post_init__()

    @cached_property
    def alphas_cumprod(self) -> Float64[Tensor, " T"]:
        """The rescaled table; its last entry is 0."""
        signal = self.base.alphas_cumprod.sqrt()
        first, last = signal[0], signal[-1]
        return ((signal - last) * (first / (first - last))).square()
