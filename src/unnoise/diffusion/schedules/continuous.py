"""Continuous schedules: cosine, offset cosine, linear beta (VP) and rectified flow."""

import math
from dataclasses import dataclass

import torch

from unnoise.diffusion.tensors import RatePair, Rates
from unnoise.utils.errors import require


@dataclass(frozen=True)
class OffsetCosine:
    r"""Offset cosine schedule (Keras DDIM example; after Improved DDPM, 2102.09672, eq. 17).

        theta(t) = acos(max) + t (acos(min) - acos(max)),    signal = cos(theta),    noise = sin(theta)

    The angle theta grows linearly. A `min_signal_rate` above 0 allows dividing by the signal rate at t = 1;
    lower values give more saturated pictures. A `max_signal_rate` below 1 leaves noise at t = 0, which the last
    prediction must remove at once: at 0.95 the pictures have less contrast than the data.

    Args:
        min_signal_rate: the signal rate at t = 1.
        max_signal_rate: the signal rate at t = 0.

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
    """Cosine schedule (Generative Deep Learning, 2nd edition, chapter 8).

        signal = cos(pi t / 2),    noise = sin(pi t / 2)

    The signal is 0 at t = 1, where the image does not follow from a predicted noise,
    x_0 = (x_t - noise * eps) / 0: `Denoiser` raises an error for this schedule with noise prediction.
    """

    def __call__(self, diffusion_times: Rates) -> RatePair:
        """Returns (sin, cos) of a quarter turn, each (B, 1, 1, 1)."""
        angles = diffusion_times * (math.pi / 2)
        return RatePair(angles.sin(), angles.cos().clamp(min=0))  # cos(pi / 2) rounds below zero


@dataclass(frozen=True)
class Linear:
    r"""Linear beta schedule in continuous time, variance preserving (Score SDE, 2011.13456, eq. 33).

        beta(t) = min_beta + t (max_beta - min_beta),    signal^2 = exp(-\int_0^t beta)

    The limit of the discrete betas 1e-4 ... 0.02 in 1,000 steps. (Generative Deep Learning, chapter 8, takes
    the product of 1 - beta along the batch, so that the noise of an image depends on the others in the batch;
    the integral does not.)

    Args:
        min_beta, max_beta: beta at t = 0 and at t = 1.

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
class RectifiedFlow:
    r"""Rectified flow schedule, scaled to unit variance (2209.03003, eq. 1; flow matching, 2210.02747).

        x_t = ((1 - t) x_0 + t eps) / r

        r = sqrt((1 - t)^2 + t^2),    signal = (1 - t) / r,    noise = t / r

    Dividing by r changes only the scale of the network's input. Flow matching is this schedule with the target
    u = eps - x_0, `Objective(predicts="flow", compares="flow", loss="l2")`; "velocity" is another target, v.
    """

    def __call__(self, diffusion_times: Rates) -> RatePair:
        """Returns (t / r, (1 - t) / r), each (B, 1, 1, 1)."""
        rest = 1 - diffusion_times
        length = torch.hypot(rest, diffusion_times)
        return RatePair(diffusion_times / length, rest / length)
