"""Correlated Gaussian images with a known covariance, and their exact denoiser: test oracle for editing."""

from dataclasses import dataclass

import torch

from unnoise.diffusion.schedules import OffsetCosine
from unnoise.diffusion.tensors import Prediction

CLEAN = OffsetCosine(0.002, 0.99999)
SHAPE = (3, 2, 4)
SIZE = 24


def random(*shape, seed=0):
    """Standard normal values in float64."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@dataclass(frozen=True, eq=False)
class Correlated:
    """Exact denoiser of N(mean, covariance): x_0 = m + a C (a^2 C + n^2)^{-1} (x - a m)."""

    mean: torch.Tensor
    covariance: torch.Tensor

    def __call__(self, noisy_images, noise_rates, signal_rates) -> Prediction:
        noise, signal = noise_rates.flatten()[0], signal_rates.flatten()[0]
        spread = signal**2 * self.covariance + noise**2 * torch.eye(SIZE, dtype=torch.float64)
        centred = noisy_images.flatten(1) - signal * self.mean
        images = self.mean + centred @ torch.linalg.solve(spread, signal * self.covariance)
        images = images.view_as(noisy_images)
        return Prediction((noisy_images - signal * images) / noise, images)


def correlated(rank=6):
    """Images with most of their variance in a few directions: some pixels determine most of the others."""
    factors = random(SIZE, rank, seed=1)
    return Correlated(random(SIZE, seed=2), factors @ factors.mT / rank + 0.05 * torch.eye(SIZE).double())


def known_pixels():
    """A random mask, (1, 1, 2, 4)."""
    return torch.rand(1, 1, 2, 4, generator=torch.Generator().manual_seed(3)) < 0.5
