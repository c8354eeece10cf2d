r"""A decoder is the last step: how probable the data are, given the image that is seen at the smallest noise.

Bits per dimension are counted for pictures of bytes. With a `PixelDecoder` the bound is a probability of bytes,
and probabilities have no unit: nats / (dimensions ln 2), whatever the normalizer. A *density* has a unit: its
values are 255 std times narrower in normalised numbers than in grey levels, so

    bits/dim = -(log p(x) - sum log(255 std)) / (dimensions ln 2)

where the sum (`grey_level_volume`) goes over all values of an image. By Jensen's inequality the mean of that
over x = byte + U(-1/2, 1/2) bounds the bits of the byte from above (Theis et al., 1511.01844, section 3.1).
"""

import math
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch

from unnoise.diffusion.normalizer import Normalizer
from unnoise.diffusion.posteriors import Nats, discretized_gaussian_log_likelihood, gaussian_log_density
from unnoise.diffusion.tensors import Images, Pixels, Rates


@runtime_checkable
class Decoder(Protocol):
    """log p(images | means), where the means are what `denoise` sees at the smallest noise level."""

    def __call__(self, images: Images, means: Images, noise_rates: Rates) -> Nats:
        """(B, C, H, W) twice, normalised, and (B, 1, 1, 1) -> (B,)."""
        ...


@dataclass(frozen=True)
class PixelDecoder:
    """The probability of each byte: the part of N(mean, noise_rate^2) between its edges (DDPM, eq. 13).

    Byte b reaches from (b - 1/2) / 255 to (b + 1/2) / 255, that is 1 / (255 std) in normalised numbers; the
    bins of 0 and 255 have open tails. The spread sigma of the smallest level is the posterior's for data of
    variance 1, and DDPM's choice.
    """

    normalizer: Normalizer

    def __call__(self, images: Images, means: Images, noise_rates: Rates) -> Nats:
        """Computed in float64, on the CPU (MPS has no float64)."""
        images, means, noise_rates = (values.detach().cpu().double() for values in (images, means, noise_rates))
        levels = (self.normalizer.denormalize(images) * 255).round()
        lower, upper = (self.normalizer.normalize((levels + half) / 255) for half in (-0.5, 0.5))
        lower = lower.masked_fill(levels == 0, -math.inf)
        upper = upper.masked_fill(levels == 255, math.inf)
        return discretized_gaussian_log_likelihood(lower, upper, means, noise_rates).flatten(1).sum(1)


@dataclass(frozen=True)
class DensityDecoder:
    """The density N(images; mean, noise_rate^2), for data that are no bytes; the bound is one of a density."""

    def __call__(self, images: Images, means: Images, noise_rates: Rates) -> Nats:
        """In the units of the images, computed in float64, on the CPU."""
        images, means, noise_rates = (values.detach().cpu().double() for values in (images, means, noise_rates))
        return gaussian_log_density(images, means, noise_rates).flatten(1).sum(1)


def bits_per_dim(log_likelihoods: Nats, dimensions: int) -> Nats:
    """-log-likelihood / (dimensions ln 2)."""
    return -log_likelihoods / (dimensions * math.log(2))


def grey_level_volume(normalizer: Normalizer, image_shape: tuple[int, int, int]) -> float:
    """The sum of log(255 std) over all values: what to subtract from a log-density to count in grey levels."""
    channels, height, width = image_shape
    stds = normalizer.std if len(normalizer.std) == channels else normalizer.std * channels
    return height * width * sum(math.log(255 * std) for std in stds)


def dequantize(pixels: Pixels, uniforms: Images) -> Images:
    """Bytes to (byte + u - 1/2) / 255, with u in [0, 1): a density where there were bins; about [0, 1]."""
    return (pixels.to(torch.float64) + uniforms - 0.5).div(255).to(uniforms.dtype)
