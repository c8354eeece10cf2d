"""The continuous schedules of the book and of the score-based papers: an angle, or an integral of beta."""

import math
from dataclasses import dataclass

import torch

from unnoise.diffusion.schedules.rates import RatePair
from unnoise.diffusion.tensors import Rates
from unnoise.utils.errors import require


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
class RectifiedFlow:
    r"""The straight line x_t = (1 - t) x_0 + t eps, brought to unit variance (2209.03003, eq. 1; 2210.02747).

        r = sqrt((1 - t)^2 + t^2),    signal = (1 - t) / r,    noise = t / r

    Dividing by r changes neither the picture nor the noise in it, only the scale at which the network sees
    both: flow matching is velocity prediction along this schedule (`Objective(predicts="flow")`).
    """

    def __call__(self, diffusion_times: Rates) -> RatePair:
        """Returns (t / r, (1 - t) / r), each (B, 1, 1, 1)."""
        rest = 1 - diffusion_times
        length = torch.hypot(rest, diffusion_times)
        return RatePair(diffusion_times / length, rest / length)
