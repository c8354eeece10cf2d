"""Exact denoiser of data with two peaks, which is strongly nonlinear: test oracle for editing."""

import torch

from unnoise.diffusion.tensors import Prediction


def normal(count=6, seed=0):
    """Standard normal noises, (count, 2, 4, 4), in float64."""
    return torch.randn(count, 2, 4, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


class TwoPeaks:
    """Exact denoiser of independent pixels from N(-1, std^2) or N(1, std^2), which counts its calls.

    x_0 = (alpha std^2 x + sigma^2 tanh(alpha x / v)) / v for v = alpha^2 std^2 + sigma^2.
    """

    def __init__(self, std=0.4):
        self.std, self.calls = std, 0

    def __call__(self, noisy_images, noise_rates, signal_rates) -> Prediction:
        self.calls += 1
        variance = signal_rates.square() * self.std**2 + noise_rates.square()
        side = torch.tanh(signal_rates * noisy_images / variance)
        images = (signal_rates * self.std**2 * noisy_images + noise_rates.square() * side) / variance
        return Prediction((noisy_images - signal_rates * images) / noise_rates, images)
