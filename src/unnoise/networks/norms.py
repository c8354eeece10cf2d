"""A norm sets mean and variance to 0 and 1; what differs is over which of the numbers they are taken."""

import math
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unnoise.diffusion.tensors import Features

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

    def directions(self, images: Features) -> Features:
        """Of length 1, x / |x|_2, or 0: (B, width, H, W) -> the same shape."""
        return images * images.square().sum(dim=1, keepdim=True).clamp(min=1e-24).rsqrt()

    def scale(self) -> Float[Tensor, " width"]:
        r"""\sqrt{C} * gain, which one may also multiply into what comes next."""
        return self.gain * math.sqrt(len(self.gain))

    def forward(self, images: Features) -> Features:
        """(B, width, H, W) -> the same shape."""
        return self.directions(images) * self.scale()[:, None, None]
