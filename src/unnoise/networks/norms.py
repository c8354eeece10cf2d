"""A norm sets mean and variance to 0 and 1; what differs is over which of the numbers they are taken."""

import math
from typing import Literal

import torch
from torch import nn
from torch.nn import functional

from unnoise.tensors import Features

Normalization = Literal["group", "batch"]


def normalization(kind: Normalization, width: int, *, affine: bool = True, groups: int = 8) -> nn.Module:
    """GroupNorm in 8 groups (1803.08494), or the book's BatchNorm without gain and bias.

    Keras and PyTorch count momentum from opposite ends: Keras's 0.99 is 0.01 here. A width that 8 does not
    divide takes the largest number of groups that both share.
    """
    if kind == "batch":
        return nn.BatchNorm2d(width, affine=False, momentum=0.01, eps=1e-3)
    return nn.GroupNorm(math.gcd(groups, width), width, affine=affine)


class ChannelLayerNorm(nn.Module):
    r"""LayerNorm over the channels of each position, each by itself (1607.06450, as in ConvNeXt, 2201.03545).

        (x - mean_C x) / \sqrt{var_C x + 10^-5} * gain + bias

    Not GroupNorm(1), which takes its mean and variance over the positions too.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, eps=1e-5)

    def forward(self, images: Features) -> Features:
        """(B, width, H, W) -> the same shape."""
        normed: Features = self.norm(images.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        return normed


class RMSNorm(nn.Module):
    r"""Each position's channels, scaled to a mean square of 1; no mean is taken off (1910.07467, eq. 4).

    x / |x|_2 * \sqrt{C} * gain
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(width))

    def forward(self, images: Features) -> Features:
        """(B, width, H, W) -> the same shape."""
        gain = self.gain * math.sqrt(len(self.gain))
        return functional.normalize(images, dim=1) * gain[:, None, None]
