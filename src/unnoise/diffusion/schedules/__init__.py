r"""Noise schedules: diffusion time -> noise rate and signal rate.

    schedule(t) -> (noise_rates, signal_rates) = (sigma(t), alpha(t)),      sigma^2 + alpha^2 = 1

t = 0 is a clean image, t = 1 (almost) pure noise. A schedule is pointwise: the rates of one image do not depend
on the other times in the batch. As sigma^2 + alpha^2 = 1, a schedule is an angle as a function of time, or a
log-SNR = 2 log(alpha / sigma) as a function of time.
"""

from unnoise.diffusion.schedules.beta_table import BetaTable
from unnoise.diffusion.schedules.continuous import Cosine, Linear, OffsetCosine, RectifiedFlow
from unnoise.diffusion.schedules.discrete import (
    AnyChain,
    CosineBeta,
    DiscreteSchedule,
    LinearBeta,
    QuadraticBeta,
    SigmoidAlphaBar,
    SigmoidBeta,
    TimestepSpacing,
    ZeroTerminalSNR,
)
from unnoise.diffusion.schedules.log_snr_schedules import (
    CosinePower,
    LinearPower,
    LogNoise,
    LogSignal,
    LogSNRLinear,
    LogSNRSchedule,
    NoiseStep,
    SignalStep,
)
from unnoise.diffusion.schedules.shifted import (
    ShiftedSchedule,
    ShiftedTimesteps,
    noise_shift_for,
    noise_shift_of,
    require_noise_shift,
    shift_rates,
    shifted,
)
from unnoise.diffusion.tensors import RatePair, Schedule, log_snr, rates_of_log_snr

AnySchedule = (
    OffsetCosine
    | Cosine
    | Linear
    | RectifiedFlow
    | LinearPower
    | CosinePower
    | LogSNRLinear
    | LogNoise
    | LogSignal
    | NoiseStep
    | SignalStep
    | LinearBeta
    | QuadraticBeta
    | SigmoidBeta
    | CosineBeta
    | SigmoidAlphaBar
    | ZeroTerminalSNR
    | BetaTable
)
"""Every schedule that config.json can name."""

__all__ = [
    "AnyChain",
    "AnySchedule",
    "BetaTable",
    "Cosine",
    "CosineBeta",
    "CosinePower",
    "DiscreteSchedule",
    "Linear",
    "LinearBeta",
    "LinearPower",
    "LogNoise",
    "LogSNRLinear",
    "LogSNRSchedule",
    "LogSignal",
    "NoiseStep",
    "OffsetCosine",
    "QuadraticBeta",
    "RatePair",
    "RectifiedFlow",
    "Schedule",
    "ShiftedSchedule",
    "ShiftedTimesteps",
    "SigmoidAlphaBar",
    "SigmoidBeta",
    "SignalStep",
    "TimestepSpacing",
    "ZeroTerminalSNR",
    "log_snr",
    "noise_shift_for",
    "noise_shift_of",
    "rates_of_log_snr",
    "require_noise_shift",
    "shift_rates",
    "shifted",
]
