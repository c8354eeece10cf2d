r"""Samples that are greyer, darker or paler than the data show it in the histogram of a channel.

    distance = \int |F(v) - G(v)| dv = \sum_{v=0}^{254} |F(v) - G(v)| / 255

is the 1-Wasserstein distance of two histograms of bytes with distribution functions F and G: how far the
brightness of a pixel has to be moved on average, where 0 is black and 1 the brightest.
"""

from typing import NamedTuple, TypeAlias

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from unnoise.utils.errors import require

AnyPixels: TypeAlias = UInt8[Tensor, "_ _ _ _"]
Histograms: TypeAlias = Float[Tensor, "channels 256"]
PerChannel: TypeAlias = Float[Tensor, " channels"]

_AT_ONCE = 256


class ColourCheck(NamedTuple):
    """One channel of the pictures and of the others, in [0, 1]: mean, spread (contrast), and how far apart."""

    channel: int
    mean: float
    other_mean: float
    std: float
    other_std: float
    distance: float


def colours(pictures: AnyPixels, others: AnyPixels) -> list[ColourCheck]:
    """A check of each channel, over all pixels of all pictures (N, C, H, W) and (M, C, H', W').

    Raises:
        UnnoiseError: for no pictures, or other channels.
    """
    require(
        pictures.numel() > 0 and others.numel() > 0,
        f"Colours are compared between pictures, but got {len(pictures)} and {len(others)}.",
    )
    require(
        pictures.shape[1] == others.shape[1],
        f"Colours are compared channel by channel, but got {pictures.shape[1]} and {others.shape[1]} channels.",
    )
    left, right = _histograms(pictures), _histograms(others)
    distances = (left.cumsum(1) - right.cumsum(1))[:, :-1].abs().sum(1) / 255
    (means, stds), (other_means, other_stds) = _moments(left), _moments(right)
    columns = (means, other_means, stds, other_stds, distances)
    return [ColourCheck(channel, *row) for channel, row in enumerate(torch.stack(columns, 1).tolist())]


def _histograms(pixels: AnyPixels) -> Histograms:
    """Shares of the 256 brightnesses in each channel."""
    channels = pixels.shape[1]
    counts = torch.zeros(channels, 256, dtype=torch.float64)
    for first in range(0, len(pixels), _AT_ONCE):
        some = pixels[first : first + _AT_ONCE].transpose(0, 1).flatten(1).cpu()
        counts += torch.stack([torch.bincount(channel.long(), minlength=256) for channel in some])
    return counts / counts.sum(1, keepdim=True)


def _moments(shares: Histograms) -> tuple[PerChannel, PerChannel]:
    """Mean and standard deviation of each channel."""
    levels = torch.arange(256, dtype=torch.float64) / 255
    means = shares @ levels
    return means, ((levels - means[:, None]).square() * shares).sum(1).sqrt()
