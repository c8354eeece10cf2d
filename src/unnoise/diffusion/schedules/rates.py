"""Every schedule answers with two standard deviations, the noise's first."""

from typing import NamedTuple, Protocol, runtime_checkable

import torch

from unnoise.diffusion.tensors import Rates


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
