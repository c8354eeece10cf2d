"""Variational bound in continuous time against the entropy, with the exact denoiser."""

from dataclasses import dataclass

import pytest
import torch

from helpers.entropies import BITS, entropy, gaussian_images
from helpers.sampling import column
from unnoise.diffusion.normalizer import Normalizer
from unnoise.diffusion.oracles import Gaussian
from unnoise.diffusion.schedules import (
    Cosine,
    Linear,
    LinearBeta,
    LogSNRLinear,
    OffsetCosine,
    log_snr,
)
from unnoise.diffusion.tensors import Prediction
from unnoise.evaluation.likelihood import (
    DensityDecoder,
    PixelDecoder,
    continuous_bound,
)
from unnoise.evaluation.likelihood.continuous import integration_ends, log_snr_slope
from unnoise.utils.errors import UnnoiseError


@pytest.mark.row("Q14")
@pytest.mark.parametrize("over", ["log_snr", "time"])
@pytest.mark.parametrize("schedule", [OffsetCosine(0.002, 0.9999), LogSNRLinear(9, -9)])
def test_continuous_bound_of_the_exact_denoiser_equals_the_entropy(schedule, over):
    images = gaussian_images(0.2, 0.6, (1024, 1, 4, 4))
    bound = continuous_bound(Gaussian(0.2, 0.6), images, schedule, 50, decoder=DensityDecoder(), over=over)
    assert bound.total.mean().item() == pytest.approx(entropy(images, 0.2, 0.6), abs=3e-2)


def test_log_snr_slope_equals_the_difference_quotient():
    times = column(0.1, 0.5, 0.9, dtype=torch.float64)
    for schedule in (OffsetCosine(), Linear(), LogSNRLinear()):
        quotient = (log_snr(*schedule(times + 1e-6)) - log_snr(*schedule(times - 1e-6))) / 2e-6
        torch.testing.assert_close(log_snr_slope(schedule, times), quotient, rtol=1e-6, atol=1e-6)
    with pytest.raises(UnnoiseError, match="has no derivative"):
        log_snr_slope(LinearBeta(50), times)


def test_continuous_bound_of_a_discrete_schedule_equals_the_entropy():
    images = gaussian_images(0.2, 0.6, (1024, 1, 4, 4))
    bound = continuous_bound(Gaussian(0.2, 0.6), images, LinearBeta(1000), 100, decoder=DensityDecoder())
    assert bound.total.mean().item() == pytest.approx(entropy(images, 0.2, 0.6), abs=3e-2)
    with pytest.raises(UnnoiseError, match="two levels with both noise and signal"):
        integration_ends(Cosine(), [0, 1])


@dataclass(frozen=True)
class Levels:
    """Values that are bytes: the exact denoiser of a rounded Gaussian is a mean over the bytes."""

    values: torch.Tensor
    logs: torch.Tensor

    def __call__(self, noisy_images, noise_rates, signal_rates) -> Prediction:
        distances = (noisy_images[..., None] - signal_rates[..., None] * self.values) / noise_rates[..., None]
        weights = (self.logs - distances.square() / 2).softmax(-1)
        images = weights @ self.values
        return Prediction((noisy_images - signal_rates * images) / noise_rates, images)


@pytest.mark.row("Q14")
def test_continuous_bound_of_the_exact_denoiser_of_bytes_equals_their_entropy():
    normalizer = Normalizer((0.5,), (2 / 255,))  # a spread of 2 grey levels
    values = (torch.arange(120, 136, dtype=torch.float64) - 127.5) / 2
    logs = (-values.square() / 2).log_softmax(0)
    quantiles = (torch.arange(4096, dtype=torch.float64) + 0.5) / 4096
    chosen = torch.searchsorted(logs.exp().cumsum(0), quantiles)[torch.randperm(4096)]
    images, schedule = values[chosen].view(1024, 1, 2, 2), LogSNRLinear(6, -6)
    bound = continuous_bound(Levels(values, logs), images, schedule, 100, decoder=PixelDecoder(normalizer))
    exact = -(logs.exp() * logs).sum().item() / BITS
    assert bound.total.mean().item() == pytest.approx(exact, abs=3e-2)
    assert bound.decoder.mean().item() < 1e-3  # at this noise the byte is certain
