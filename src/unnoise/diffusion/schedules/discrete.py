r"""The discrete chain is the same equation on a table: T steps, each of which mixes in a little noise.

    x_k = sqrt(1 - beta_k) x_{k-1} + sqrt(beta_k) eps          (DDPM, 2006.11239, eq. 2)
    signal_rate_k^2 = alpha_bar_k = prod_{i <= k} (1 - beta_i),    noise_rate_k^2 = 1 - alpha_bar_k

Steps are counted 0 ... T - 1 as in the paper's code; step k is the diffusion time (k + 1) / T, and time 0 is
the clean image. Tables are built in float64, since a product of a thousand factors in float32 is not.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from unnoise.diffusion.schedules.rates import RatePair, log_snr
from unnoise.diffusion.tensors import Rates, in_float64
from unnoise.utils.errors import require

Spacing = Literal["trailing", "leading", "linspace"]
MOST_TIMESTEPS = 1_000_000
_ROUNDING = 1e-3
"""A time may miss its step's by this fraction of a step: k / T has no exact float32."""


@dataclass(frozen=True)
class DiscreteSchedule(ABC):
    """T noise levels in a table; everything else follows from `alphas_cumprod`.

    Abstract: its members differ in the table.

    Args:
        num_timesteps: T, at least 2.
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
            f"{self} does not add noise in every step: its betas must lie between 0 and 1.",
        )

    @property
    @abstractmethod
    def alphas_cumprod(self) -> Float64[Tensor, " T"]:
        """alpha_bar_0 ... alpha_bar_{T-1}, the signal powers, falling."""

    @property
    def betas(self) -> Float64[Tensor, " T"]:
        """beta_k = 1 - alpha_bar_k / alpha_bar_{k-1}, with alpha_bar_{-1} = 1."""
        return 1 - self.alphas_cumprod / self._powers[:-1]

    @cached_property
    def _powers(self) -> Float64[Tensor, " steps"]:
        """The signal powers of the T + 1 times 0, 1 / T, ..., 1."""
        return torch.cat([torch.ones(1, dtype=torch.float64), self.alphas_cumprod])

    @cached_property
    def _borders(self) -> Float64[Tensor, " borders"]:
        """Minus the log-SNR halfway between neighbouring steps, rising."""
        rising = (-self.alphas_cumprod).log1p() - self.alphas_cumprod.log()
        return (rising[1:] + rising[:-1]) / 2

    def __call__(self, diffusion_times: Rates) -> RatePair:
        """The rates of the step that each time (B, 1, 1, 1) belongs to: k for k / T < t <= (k + 1) / T."""
        steps = torch.ceil(in_float64(diffusion_times) * self.num_timesteps - _ROUNDING).long()
        powers = self._powers.to(steps.device)[steps.clamp(0, self.num_timesteps)]
        noise_rates, signal_rates = (
            power.sqrt().to(diffusion_times.dtype).to(diffusion_times.device) for power in (1 - powers, powers)
        )
        return RatePair(noise_rates, signal_rates)

    def timesteps_of(self, noise_rates: Rates, signal_rates: Rates) -> Rates:
        """The step 0 ... T - 1 whose log-SNR is nearest, as float: what a DDPM's network is told."""
        wanted = -in_float64(log_snr(noise_rates, signal_rates))
        steps = torch.searchsorted(self._borders.to(wanted.device), wanted, right=True)
        return steps.to(noise_rates.dtype).to(noise_rates.device)

    def timesteps(self, num_steps: int, spacing: Spacing = "trailing") -> Int64[Tensor, " steps"]:
        """Which of the T steps a sampler of fewer steps takes, falling (2305.08891, table 2).

        trailing: round(T, T - T / K, ...) - 1, from the last step on: the only one that starts in noise.
        leading: (K - 1) T // K, ..., T // K, 0. linspace: round(linspace(T - 1, 0)).

        Raises:
            UnnoiseError: unless 1 <= num_steps <= T.
        """
        total = self.num_timesteps
        require(
            1 <= num_steps <= total,
            f"A chain of {total} timesteps is sampled in 1 to {total} steps, but got {num_steps}.",
        )
        count = torch.arange(num_steps, dtype=torch.float64)
        match spacing:
            case "trailing":
                return (total - count * (total / num_steps)).round().long() - 1
            case "leading":
                return (count * (total // num_steps)).long().flip(0)
            case "linspace":
                return torch.linspace(0, total - 1, num_steps, dtype=torch.float64).round().long().flip(0)

    def times(self, num_steps: int, spacing: Spacing = "trailing") -> Float64[Tensor, " grid"]:
        """The same as diffusion times, with 0 at the end: what a sampler takes as its grid."""
        chosen = (self.timesteps(num_steps, spacing).double() + 1) / self.num_timesteps
        return torch.cat([chosen, torch.zeros(1, dtype=torch.float64)])


@dataclass(frozen=True)
class BetaSchedule(DiscreteSchedule):
    """A chain that is told its betas between a first and a last one.

    Args:
        first_beta, last_beta: of a chain of 1,000 steps.
        rescale: multiplies the betas by 1000 / T, so that any T ends in noise. Without it, T = 200 leaves 36 %
            of the image at the last step (signal rate 0.3636), while sampling starts from none.

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
        """The betas as of a chain of 1,000 steps."""

    @cached_property
    def alphas_cumprod(self) -> Float64[Tensor, " T"]:
        """The product of (1 - beta)."""
        return (1 - self._unscaled() * self._scale).cumprod(0)

    def _line(self, first: float, last: float) -> Float64[Tensor, " T"]:
        return torch.linspace(first, last, self.num_timesteps, dtype=torch.float64)


@dataclass(frozen=True)
class LinearBeta(BetaSchedule):
    """The betas are a straight line (DDPM, 2006.11239, section 4)."""

    def _unscaled(self) -> Float64[Tensor, " T"]:
        return self._line(self.first_beta, self.last_beta)


@dataclass(frozen=True)
class QuadraticBeta(BetaSchedule):
    """The square roots of the betas are a straight line (`scaled_linear` elsewhere; 2112.10752)."""

    def _unscaled(self) -> Float64[Tensor, " T"]:
        return self._line(self.first_beta**0.5, self.last_beta**0.5).square()


@dataclass(frozen=True)
class SigmoidBeta(BetaSchedule):
    """The betas rise along a sigmoid, from -6 to 6 (GeoDiff, 2203.02923)."""

    def _unscaled(self) -> Float64[Tensor, " T"]:
        return self.first_beta + (self.last_beta - self.first_beta) * self._line(-6, 6).sigmoid()


@dataclass(frozen=True)
class AlphaBarSchedule(DiscreteSchedule):
    """A chain that is told alpha_bar as a function of time: it needs no rescaling, whatever T is.

    Args:
        smallest_beta, largest_beta: the betas are clipped to these, or the last one would be 1.

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
        """Up to a factor: only ratios are used."""

    @cached_property
    def alphas_cumprod(self) -> Float64[Tensor, " T"]:
        """The product of (1 - the clipped beta)."""
        times = torch.arange(self.num_timesteps + 1, dtype=torch.float64) / self.num_timesteps
        powers = self._alpha_bar(times)
        betas = (1 - powers[1:] / powers[:-1]).clamp(self.smallest_beta, self.largest_beta)
        return (1 - betas).cumprod(0)


@dataclass(frozen=True)
class CosineBeta(AlphaBarSchedule):
    """alpha_bar(t) = cos^2(pi / 2 (t + s) / (1 + s)) (Improved DDPM, 2102.09672, eq. 17)."""

    offset: float = 0.008

    def __post_init__(self) -> None:
        require(self.offset >= 0, f"CosineBeta's offset is at least 0, but got {self.offset:g}: take 0.008.")
        super().__post_init__()

    def _alpha_bar(self, times: Float64[Tensor, " steps"]) -> Float64[Tensor, " steps"]:
        return ((times + self.offset) / (1 + self.offset) * (torch.pi / 2)).cos().square()


@dataclass(frozen=True)
class SigmoidAlphaBar(AlphaBarSchedule):
    """alpha_bar(t) falls along a sigmoid from `start` to `end`, at temperature tau (2212.11972)."""

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
    """Another chain, stretched until no signal is left at its last step (2305.08891, algorithm 1).

        signal' = (signal - signal_{T-1}) signal_0 / (signal_0 - signal_{T-1})

    The first step stays. At the last one the image can't be told from predicted noise: predict the velocity
    or the image.

    Args:
        base: whose table is stretched; `num_timesteps` follows it.
    """

    base: AnyChain = LinearBeta()

    def __post_init__(self) -> None:
        object.__setattr__(self, "num_timesteps", self.base.num_timesteps)
        super().__post_init__()

    @cached_property
    def alphas_cumprod(self) -> Float64[Tensor, " T"]:
        """The stretched table; its last entry is 0."""
        signal = self.base.alphas_cumprod.sqrt()
        first, last = signal[0], signal[-1]
        return ((signal - last) * (first / (first - last))).square()
