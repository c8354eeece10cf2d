r"""A schedule says how much noise and how much signal an image holds at each diffusion time.

    schedule(t) -> (noise_rates, signal_rates) = (sigma(t), alpha(t)),      sigma^2 + alpha^2 = 1

t = 0 is clean, t = 1 is (almost) pure noise. A schedule is *pointwise*: the rates of one image never depend
on the other times in the batch. sigma^2 + alpha^2 = 1 is the unit circle, so every schedule is a choice of
angle against time, and of log-SNR = 2 log(alpha / sigma) against time.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

import torch

from unnoise.errors import require
from unnoise.tensors import Rates


class RatePair(NamedTuple):
    """What a schedule returns. The noise comes first, and both are standard deviations."""

    noise_rates: Rates
    signal_rates: Rates


@runtime_checkable
class Schedule(Protocol):
    """Diffusion times (B, 1, 1, 1) in [0, 1] -> `RatePair`."""

    def __call__(self, diffusion_times: Rates) -> RatePair:
        """Returns (noise_rates, signal_rates), each shaped like the times."""
        ...


def log_snr(noise_rates: Rates, signal_rates: Rates) -> Rates:
    """log(signal_rate^2 / noise_rate^2): the one coordinate in which all schedules can be compared."""
    return 2 * (signal_rates.log() - noise_rates.log())


def rates_of_log_snr(values: Rates) -> RatePair:
    """The inverse of `log_snr`: alpha^2 = sigmoid(log-SNR), sigma^2 = sigmoid(-log-SNR)."""
    return RatePair(torch.sigmoid(-values).sqrt(), torch.sigmoid(values).sqrt())


def _of_log_noise_power(log_power: Rates) -> RatePair:
    """From log p; 1 - p by expm1, or its last digits would be lost where p is nearly 1."""
    return RatePair((log_power / 2).exp(), (-torch.expm1(log_power)).sqrt())


def _of_log_signal_power(log_power: Rates) -> RatePair:
    """From log (1 - p)."""
    return RatePair((-torch.expm1(log_power)).sqrt(), (log_power / 2).exp())


@dataclass(frozen=True)
class OffsetCosine:
    r"""The angle grows linearly between two offsets (Keras DDIM example; Improved DDPM, 2102.09672, eq. 17).

        theta(t) = acos(max) + t (acos(min) - acos(max)),    signal = cos(theta),    noise = sin(theta)

    `min_signal_rate` keeps the division by the signal rate possible at t = 1; lower values give more
    saturated pictures. `max_signal_rate` below 1 leaves noise in the last step, which the last prediction
    must still remove: at 0.95 pictures come out with less contrast than the data.

    Raises:
        UnnoiseError: unless 0 < min_signal_rate < max_signal_rate <= 1.
    """

    min_signal_rate: float = 0.02
    max_signal_rate: float = 0.95

    def __post_init__(self) -> None:
        require(
            0 < self.min_signal_rate < self.max_signal_rate <= 1,
            "OffsetCosine needs 0 < min_signal_rate < max_signal_rate <= 1, but got "
            f"min_signal_rate={self.min_signal_rate} and max_signal_rate={self.max_signal_rate}: "
            "take 0.02 and 0.95 if in doubt.",
        )

    def __call__(self, diffusion_times: Rates) -> RatePair:
        """Returns (sin theta, cos theta), each (B, 1, 1, 1)."""
        start, end = math.acos(self.max_signal_rate), math.acos(self.min_signal_rate)
        angles = start + diffusion_times * (end - start)
        return RatePair(angles.sin(), angles.cos())


@dataclass(frozen=True)
class Cosine:
    """signal = cos(pi t / 2), noise = sin(pi t / 2) (Generative Deep Learning, 2nd edition, chapter 8).

    It reaches signal 0 at t = 1, where a network that predicts the noise can't tell the image
    (x_0 = (x_t - noise * eps) / 0): `Diffusion` refuses that pair.
    """

    def __call__(self, diffusion_times: Rates) -> RatePair:
        """Returns (sin, cos) of a quarter turn, each (B, 1, 1, 1)."""
        angles = diffusion_times * (math.pi / 2)
        return RatePair(angles.sin(), angles.cos().clamp(min=0))  # cos(pi / 2) rounds below zero


@dataclass(frozen=True)
class Linear:
    r"""The noise is added at a rate that grows linearly (Score SDE, 2011.13456, eq. 33, VP).

        beta(t) = min_beta + t (max_beta - min_beta),    signal^2 = exp(-\int_0^t beta)

    The limit of the discrete betas 1e-4 ... 0.02 in 1,000 steps. The book multiplies (1 - beta) along the
    batch, which makes an image's noise depend on its neighbours; the integral does not.

    Raises:
        UnnoiseError: unless 0 < min_beta <= max_beta.
    """

    min_beta: float = 0.1
    max_beta: float = 20.0

    def __post_init__(self) -> None:
        require(
            0 < self.min_beta <= self.max_beta,
            f"Linear needs 0 < min_beta <= max_beta, but got min_beta={self.min_beta} and "
            f"max_beta={self.max_beta}: take 0.1 and 20 if in doubt.",
        )

    def __call__(self, diffusion_times: Rates) -> RatePair:
        """Returns the rates of the integrated beta, each (B, 1, 1, 1)."""
        slope = (self.max_beta - self.min_beta) / 2
        integral = (self.min_beta + slope * diffusion_times) * diffusion_times
        return RatePair((-torch.expm1(-integral)).sqrt(), (-integral / 2).exp())


@dataclass(frozen=True)
class LogSNRSchedule(ABC):
    """The family that is told where to start and end, as log-SNR (clear-diffusion-keras).

        noise power at the ends: p_0 = 1 / (1 + e^start), p_1 = 1 / (1 + e^end);    noise = sqrt(p(t))

    Abstract: its members differ only in how p(t) goes from p_0 to p_1.

    Raises:
        UnnoiseError: unless 30 >= start_log_snr > end_log_snr >= -30.
    """

    start_log_snr: float = 3.0
    end_log_snr: float = -10.0

    def __post_init__(self) -> None:
        require(
            30 >= self.start_log_snr > self.end_log_snr >= -30,
            f"{type(self).__name__} needs 30 >= start_log_snr > end_log_snr >= -30, but got "
            f"{self.start_log_snr} and {self.end_log_snr}: take 3 and -10 if in doubt.",
        )

    @abstractmethod
    def __call__(self, diffusion_times: Rates) -> RatePair:
        """Returns (sqrt p, sqrt(1 - p)), each (B, 1, 1, 1)."""

    def log_noise_powers(self) -> tuple[float, float]:
        """(log p_0, log p_1)."""
        return -math.log1p(math.exp(self.start_log_snr)), -math.log1p(math.exp(self.end_log_snr))

    def log_signal_powers(self) -> tuple[float, float]:
        """(log (1 - p_0), log (1 - p_1))."""
        return -math.log1p(math.exp(-self.start_log_snr)), -math.log1p(math.exp(-self.end_log_snr))


@dataclass(frozen=True)
class LinearPower(LogSNRSchedule):
    """A straight line in the noise power: p(t) = p_0 + t (p_1 - p_0)."""

    def __call__(self, diffusion_times: Rates) -> RatePair:
        """Returns (sqrt p, sqrt(1 - p)), each (B, 1, 1, 1)."""
        noise, signal = (
            math.exp(first) * (1 - diffusion_times) + math.exp(last) * diffusion_times
            for first, last in (self.log_noise_powers(), self.log_signal_powers())
        )
        return RatePair(noise.sqrt(), signal.sqrt())


@dataclass(frozen=True)
class CosinePower(LogSNRSchedule):
    """A straight line in the angle asin(sqrt p): the offset cosine, told by its log-SNR."""

    def __call__(self, diffusion_times: Rates) -> RatePair:
        """Returns (sin, cos) of the angle, each (B, 1, 1, 1)."""
        (first, _), (_, last) = self.log_noise_powers(), self.log_signal_powers()
        start, left = math.asin(math.exp(first / 2)), math.asin(math.exp(last / 2))  # left to a right angle
        noise_angles = start + diffusion_times * (math.pi / 2 - left - start)
        signal_angles = left + (1 - diffusion_times) * (math.pi / 2 - left - start)
        return RatePair(noise_angles.sin(), signal_angles.sin())


@dataclass(frozen=True)
class LogSNRLinear(LogSNRSchedule):
    """A straight line in the log-SNR itself (VDM, 2107.00630, section 3)."""

    def __call__(self, diffusion_times: Rates) -> RatePair:
        """Returns the rates of (1 - t) start + t end, each (B, 1, 1, 1)."""
        span = self.end_log_snr - self.start_log_snr
        return rates_of_log_snr(self.start_log_snr + diffusion_times * span)


@dataclass(frozen=True)
class LogNoise(LogSNRSchedule):
    """A straight line in the log of the noise power: p(t) = p_0 (p_1 / p_0)^t."""

    def __call__(self, diffusion_times: Rates) -> RatePair:
        """Returns (sqrt p, sqrt(1 - p)), each (B, 1, 1, 1)."""
        first, last = self.log_noise_powers()
        return _of_log_noise_power((1 - diffusion_times) * first + diffusion_times * last)


@dataclass(frozen=True)
class LogSignal(LogSNRSchedule):
    """A straight line in the log of the signal power: p(t) = 1 - (1 - p_0) ((1 - p_1) / (1 - p_0))^t."""

    def __call__(self, diffusion_times: Rates) -> RatePair:
        """Returns (sqrt p, sqrt(1 - p)), each (B, 1, 1, 1)."""
        first, last = self.log_signal_powers()
        return _of_log_signal_power((1 - diffusion_times) * first + diffusion_times * last)


@dataclass(frozen=True)
class NoiseStep(LogSNRSchedule):
    """The log of the noise power is a parabola in 1 - t: p(t) = p_1 (p_0 / p_1)^((1 - t)^2)."""

    def __call__(self, diffusion_times: Rates) -> RatePair:
        """Returns (sqrt p, sqrt(1 - p)), each (B, 1, 1, 1)."""
        (first, last), weights = self.log_noise_powers(), (1 - diffusion_times).square()
        return _of_log_noise_power(weights * first + (1 - weights) * last)


@dataclass(frozen=True)
class SignalStep(LogSNRSchedule):
    """The log of the signal power is a parabola in t: p(t) = 1 - (1 - p_0) ((1 - p_1) / (1 - p_0))^(t^2)."""

    def __call__(self, diffusion_times: Rates) -> RatePair:
        """Returns (sqrt p, sqrt(1 - p)), each (B, 1, 1, 1)."""
        (first, last), weights = self.log_signal_powers(), diffusion_times.square()
        return _of_log_signal_power((1 - weights) * first + weights * last)


AnySchedule = (
    OffsetCosine
    | Cosine
    | Linear
    | LinearPower
    | CosinePower
    | LogSNRLinear
    | LogNoise
    | LogSignal
    | NoiseStep
    | SignalStep
)
"""Every schedule that a run's config.json can name."""
