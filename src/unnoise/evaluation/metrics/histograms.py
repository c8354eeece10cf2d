r"""Comparison of colour channels: mean, standard deviation and distance of the histograms.

    distance = \int |F(v) - G(v)| dv = \sum_{v=0}^{254} |F(v) - G(v)| / 255

is the 1-Wasserstein distance of two histograms of bytes with distribution functions F and G: how far the
brightness of a pixel has to be moved on average, where 0 is black and 1 the brightest. It shows samples that
are darker, greyer or paler than the data.
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


class ChannelComparison(NamedTuple):
    """One channel of two sets of pictures, in [0, 1]: means, standard deviations, histogram distance."""

    channel: int
    mean: float
    other_mean: float
    std: float
    other_std: float
    distance: float


def compare_channels(pictures: AnyPixels, others: AnyPixels) -> list[ChannelComparison]:
    """Comparison of each channel over all pixels of the pictures (N, C, H, W) and others (M, C, H', W').

    Raises:
        UnnoiseError: for no pictures, or different numbers of channels.
    """
    require(
        pictures.numel() > 0 and others.numel() > 0,
        f"Colours need at least 1 picture in each set, but got {len(pictures)} and {len(others)}.",
    )
    require(
        pictures.shape[1] == others.shape[1],
        f"Colours need equally many channels, but got {pictures.shape[1]} and {others.shape[1]} channels.",
    )
    left, right = _histograms(pictures), _histograms(others)
    distances = (left.cumsum(1) - right.cumsum(1))[:, :-1].abs().sum(1) / 255
    (means, stds), (other_means, other_stds) = _moments(left), _moments(right)
    columns = (means, other_means, stds, other_stds, distances)
    return [ChannelComparison(channel, *row) for channel, row in enumerate(torch.stack(columns, 1).tolist())]


def _histograms(pixels: AnyPixels) -> Histograms:
    """The share of each of the 256 values in each channel."""
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
