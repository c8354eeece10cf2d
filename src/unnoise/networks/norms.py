"""Normalisation layers: group norm or batch norm, LayerNorm over channels, and RMSNorm."""

import math
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unnoise.diffusion.tensors import Features

Normalization = Literal["group", "batch"]


def normalization(kind: Normalization, width: int, *, affine: bool = True, groups: int = 8) -> nn.Module:
    """GroupNorm (1803.08494), or the BatchNorm of Generative Deep Learning without gain and bias.

    A width that `groups` does not divide gets their greatest common divisor as its number of groups. The
    momentum 0.99 of Keras is 0.01 in PyTorch, which counts it from the other end.
    """
    if kind == "batch":
        return nn.BatchNorm2d(width, affine=False, momentum=0.01, eps=1e-3)
    return nn.GroupNorm(math.gcd(groups, width), width, affine=affine)


class ChannelLayerNorm(nn.Module):
    r"""LayerNorm over the channels of each position (1607.06450, as in ConvNeXt, 2201.03545).

        (x - mean_C x) / \sqrt{var_C x + 10^-5} * gain + bias

    Unlike GroupNorm(1), whose mean and variance are taken over the positions too.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, eps=1e-5)

    def forward(self, images: Features) -> Features:
        """(B, width, H, W) -> the same shape."""
        normed: Features = self.norm(images.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        return normed


class RMSNorm(nn.Module):
    r"""RMSNorm over the C channels of each position (1910.07467, eq. 4).

    x / |x|_2 * \sqrt{C} * gain
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(width))

    def directions(self, images: Features) -> Features:
        """X / |x|_2, of length 1 at each position, or 0 where x is 0: (B, width, H, W) -> the same shape."""
        exact = images.to(torch.promote_types(images.dtype, torch.float32))  # bfloat16 would lose digits
        squares = exact.square().sum(dim=1, keepdim=True)
        return images * squares.clamp(min=1e-24).rsqrt().to(images.dtype)

    def scale(self) -> Float[Tensor, " width"]:
        r"""\sqrt{C} * gain; `LinearAttention` multiplies it into the next layer's weights instead."""
        return self.gain * math.sqrt(len(self.gain))

    def forward(self, images: Features) -> Features:
        """(B, width, H, W) -> the same shape."""
        return self.directions(images) * self.scale()[:, None, None]
