r"""A schedule says how much noise and how much signal an image holds at each diffusion time.

    schedule(t) -> (noise_rates, signal_rates) = (sigma(t), alpha(t)),      sigma^2 + alpha^2 = 1

t = 0 is clean, t = 1 is (almost) pure noise. A schedule is *pointwise*: the rates of one image never depend
on the other times in the batch. sigma^2 + alpha^2 = 1 is the unit circle, so every schedule is a choice of
angle against time, and of log-SNR = 2 log(alpha / sigma) against time.
"""

from unnoise.diffusion.schedules.continuous import Cosine, Linear, OffsetCosine, RectifiedFlow
from unnoise.diffusion.schedules.discrete import (
    AnyChain,
    CosineBeta,
    DiscreteSchedule,
    LinearBeta,
    QuadraticBeta,
    SigmoidAlphaBar,
    SigmoidBeta,
    Spacing,
    ZeroTerminalSNR,
)
from unnoise.diffusion.schedules.log_snr_family import (
    CosinePower,
    LinearPower,
    LogNoise,
    LogSignal,
    LogSNRLinear,
    LogSNRSchedule,
    NoiseStep,
    SignalStep,
)
from unnoise.diffusion.schedules.rates import RatePair, Schedule, log_snr, rates_of_log_snr

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
)
"""Every schedule that a run's config.json can name."""

__all__ = [
    "AnyChain",
    "AnySchedule",
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
    "SigmoidAlphaBar",
    "SigmoidBeta",
    "SignalStep",
    "Spacing",
    "ZeroTerminalSNR",
    "log_snr",
    "rates_of_log_snr",
]
