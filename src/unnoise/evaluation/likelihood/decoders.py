r"""Decoders of the variational bound, and conversions between densities, bytes and bits per dimension.

Bits per dimension refer to pictures of bytes. With a `PixelDecoder` the bound is one of a probability of bytes,
which does not depend on the normalizer: nats / (dimensions ln 2). A *density* depends on the unit of its
values: a normalised value of 1 is 255 std grey levels, so

    bits/dim = -(log p(x) - sum log(255 std)) / (dimensions ln 2)

where the sum (`grey_level_volume`) is over all values of an image. By Jensen's inequality, its mean over
x = byte + U(-1/2, 1/2) is an upper bound for bytes (uniform dequantisation: Theis et al., 1511.01844, section
3.1).
"""

import math
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch

from unnoise.diffusion.normalizer import Normalizer
from unnoise.diffusion.posteriors import Nats, discretized_gaussian_log_likelihood, gaussian_log_density
from unnoise.diffusion.tensors import Images, Pixels, Rates
from unnoise.utils.chunks import pictures_in

_VALUES = 2**22
"""Values that are decoded at once: they take 90 bytes each."""


@runtime_checkable
class Decoder(Protocol):
    """Log-likelihood log p(images | means), where `denoise` predicted the means at the smallest noise level."""

    def __call__(self, images: Images, means: Images, noise_rates: Rates) -> Nats:
        """Nats (B,) from normalised images and means (B, C, H, W) and noise rates (B, 1, 1, 1)."""
        ...


@dataclass(frozen=True)
class PixelDecoder:
    """Discretised Gaussian decoder: probability of each byte under N(mean, noise_rate^2) (DDPM, eq. 13).

    The bin of byte b is from (b - 1/2) / 255 to (b + 1/2) / 255, of width 1 / (255 std) in normalised values;
    the bins of 0 and 255 extend to infinity. The standard deviation is the noise rate of the smallest level, as
    in DDPM: that of the posterior for data of variance 1.
    """

    normalizer: Normalizer

    def __call__(self, images: Images, means: Images, noise_rates: Rates) -> Nats:
        """Log-probability, computed in float64, on the CPU (MPS has no float64)."""
        size, rates = pictures_in(_VALUES, images.shape[1:]), noise_rates.expand(len(images), -1, -1, -1)
        chunks = zip(*(torch.split(values, size) for values in (images, means, rates)), strict=True)
        return torch.cat([self._of_a_chunk(*chunk) for chunk in chunks])

    def _of_a_chunk(self, images: Images, means: Images, noise_rates: Rates) -> Nats:
        images, means, noise_rates = (values.detach().cpu().double() for values in (images, means, noise_rates))
        levels = (self.normalizer.denormalize(images) * 255).round()
        lower, upper = (self.normalizer.normalize((levels + half) / 255) for half in (-0.5, 0.5))
        lower = lower.masked_fill(levels == 0, -math.inf)
        upper = upper.masked_fill(levels == 255, math.inf)
        return discretized_gaussian_log_likelihood(lower, upper, means, noise_rates).flatten(1).sum(1)


@dataclass(frozen=True)
class DensityDecoder:
    """Gaussian decoder, N(images; mean, noise_rate^2), for data that are not bytes."""

    def __call__(self, images: Images, means: Images, noise_rates: Rates) -> Nats:
        """Log-density in the unit of the images, computed in float64, on the CPU."""
        images, means, noise_rates = (values.detach().cpu().double() for values in (images, means, noise_rates))
        return gaussian_log_density(images, means, noise_rates).flatten(1).sum(1)


def bits_per_dim(log_likelihoods: Nats, dimensions: int) -> Nats:
    """Bits per dimension: -log-likelihood / (dimensions ln 2)."""
    return -log_likelihoods / (dimensions * math.log(2))


def grey_level_volume(normalizer: Normalizer, image_shape: tuple[int, int, int]) -> float:
    """Sum of log(255 std) over all values; subtracting it converts a log-density to one in grey levels."""
    channels, height, width = image_shape
    stds = normalizer.std if len(normalizer.std) == channels else normalizer.std * channels
    return height * width * sum(math.log(255 * std) for std in stds)


def dequantize(pixels: Pixels, uniforms: Images) -> Images:
    """Uniform dequantisation: (byte + u - 1/2) / 255 with u in [0, 1), about [0, 1]."""
    if uniforms.device.type == "mps":  # which has no float64
        return dequantize(pixels.cpu(), uniforms.cpu()).to(uniforms.device)
    return (pixels.to(torch.float64) + uniforms - 0.5).div(255).to(uniforms.dtype)
