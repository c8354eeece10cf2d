"""Continuous schedules between two log-SNRs: linear in the log-SNR, the noise power, its logarithm, ..."""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch

from unnoise.diffusion.tensors import RatePair, Rates, rates_of_log_snr
from unnoise.utils.errors import require


def _of_log_noise_power(log_power: Rates) -> RatePair:
    """The rates for a noise power p, from log p; 1 - p by expm1, which is accurate where p is near 1."""
    return RatePair((log_power / 2).exp(), (-torch.expm1(log_power)).sqrt())


def _of_log_signal_power(log_power: Rates) -> RatePair:
    """The rates for a noise power p, from log (1 - p)."""
    return RatePair((-torch.expm1(log_power)).sqrt(), (log_power / 2).exp())


@dataclass(frozen=True)
class LogSNRSchedule(ABC):
    """Abstract schedule from one log-SNR at t = 0 to another at t = 1 (clear-diffusion-keras).

        noise power at the ends: p_0 = 1 / (1 + e^start), p_1 = 1 / (1 + e^end);    noise = sqrt(p(t))

    The members differ only in p(t) between p_0 and p_1.

    Args:
        start_log_snr, end_log_snr: at t = 0 and at t = 1.

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
        """The logarithms of the noise power at both ends, (log p_0, log p_1)."""
        return -math.log1p(math.exp(self.start_log_snr)), -math.log1p(math.exp(self.end_log_snr))

    def log_signal_powers(self) -> tuple[float, float]:
        """The logarithms of the signal power at both ends, (log (1 - p_0), log (1 - p_1))."""
        return -math.log1p(math.exp(-self.start_log_snr)), -math.log1p(math.exp(-self.end_log_snr))


@dataclass(frozen=True)
class LinearPower(LogSNRSchedule):
    """Schedule linear in the noise power: p(t) = p_0 + t (p_1 - p_0)."""

    def __call__(self, diffusion_times: Rates) -> RatePair:
        """Returns (sqrt p, sqrt(1 - p)), each (B, 1, 1, 1)."""
        noise, signal = (
            math.exp(first) * (1 - diffusion_times) + math.exp(last) * diffusion_times
            for first, last in (self.log_noise_powers(), self.log_signal_powers())
        )
        return RatePair(noise.sqrt(), signal.sqrt())


@dataclass(frozen=True)
class CosinePower(LogSNRSchedule):
    """Schedule linear in the angle asin(sqrt p): the offset cosine, given by its log-SNR at both ends."""

    def __call__(self, diffusion_times: Rates) -> RatePair:
        """Returns (sin, cos) of the angle, each (B, 1, 1, 1)."""
        (first, _), (_, last) = self.log_noise_powers(), self.log_signal_powers()
        start, left = math.asin(math.exp(first / 2)), math.asin(math.exp(last / 2))  # left to a right angle
        noise_angles = start + diffusion_times * (math.pi / 2 - left - start)
        signal_angles = left + (1 - diffusion_times) * (math.pi / 2 - left - start)
        return RatePair(noise_angles.sin(), signal_angles.sin())


@dataclass(frozen=True)
class LogSNRLinear(LogSNRSchedule):
    """Schedule linear in the log-SNR (VDM, 2107.00630, section 3)."""

    def __call__(self, diffusion_times: Rates) -> RatePair:
        """Returns the rates of (1 - t) start + t end, each (B, 1, 1, 1)."""
        span = self.end_log_snr - self.start_log_snr
        return rates_of_log_snr(self.start_log_snr + diffusion_times * span)


@dataclass(frozen=True)
class LogNoise(LogSNRSchedule):
    """Schedule linear in the log noise power: p(t) = p_0 (p_1 / p_0)^t."""

    def __call__(self, diffusion_times: Rates) -> RatePair:
        """Returns (sqrt p, sqrt(1 - p)), each (B, 1, 1, 1)."""
        first, last = self.log_noise_powers()
        return _of_log_noise_power((1 - diffusion_times) * first + diffusion_times * last)


@dataclass(frozen=True)
class LogSignal(LogSNRSchedule):
    """Schedule linear in the log signal power: p(t) = 1 - (1 - p_0) ((1 - p_1) / (1 - p_0))^t."""

    def __call__(self, diffusion_times: Rates) -> RatePair:
        """Returns (sqrt p, sqrt(1 - p)), each (B, 1, 1, 1)."""
        first, last = self.log_signal_powers()
        return _of_log_signal_power((1 - diffusion_times) * first + diffusion_times * last)


@dataclass(frozen=True)
class NoiseStep(LogSNRSchedule):
    """Schedule quadratic in 1 - t in the log noise power: p(t) = p_1 (p_0 / p_1)^((1 - t)^2)."""

    def __call__(self, diffusion_times: Rates) -> RatePair:
        """Returns (sqrt p, sqrt(1 - p)), each (B, 1, 1, 1)."""
        (first, last), weights = self.log_noise_powers(), (1 - diffusion_times).square()
        return _of_log_noise_power(weights * first + (1 - weights) * last)


@dataclass(frozen=True)
class SignalStep(LogSNRSchedule):
    """Schedule quadratic in t in the log signal power: p(t) = 1 - (1 - p_0) ((1 - p_1) / (1 - p_0))^(t^2)."""

    def __call__(self, diffusion_times: Rates) -> RatePair:
        """Returns (sqrt p, sqrt(1 - p)), each (B, 1, 1, 1)."""
        (first, last), weights = self.log_signal_powers(), diffusion_times.square()
        return _of_log_signal_power((1 - weights) * first + weights * last)
