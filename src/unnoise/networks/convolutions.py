"""A convolution with standardised weights can't grow by growing its weights."""

import torch
from torch import nn
from torch.nn import functional

from unnoise.diffusion.tensors import Features, NextFeatures


class WeightStandardizedConv2d(nn.Module):
    r"""A 3x3 convolution whose weights have mean 0 and variance 1 for each output channel (1903.10520, eq. 3).

        w -> (w - mean w) / \sqrt{var w + eps},        eps = 10^-5; 10^-3 in half precision

    Its output does not change when w becomes a w + b with a > 0. The bias stays as it is.
    """

    def __init__(self, in_width: int, width: int) -> None:
        super().__init__()
        # A plain convolution holds the parameters, so that they start as those of any other do.
        self.convolution = nn.Conv2d(in_width, width, 3, padding=1)

    def standardized(self) -> torch.Tensor:
        """The weights as they are used: (width, in_width, 3, 3)."""
        weight = self.convolution.weight
        # Under autocast the weights, and so these statistics, stay in float32: their precision decides.
        eps = 1e-3 if weight.dtype in (torch.float16, torch.bfloat16) else 1e-5
        variance, mean = torch.var_mean(weight, dim=(1, 2, 3), correction=0, keepdim=True)
        return (weight - mean) * (variance + eps).rsqrt()

    def forward(self, images: Features) -> NextFeatures:
        """(B, in_width, H, W) -> (B, width, H, W)."""
        return functional.conv2d(images, self.standardized(), self.convolution.bias, padding=1)
