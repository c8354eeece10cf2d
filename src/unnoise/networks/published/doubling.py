r"""Doubling a picture and convolving it is one transposed convolution of the small picture.

With a kernel w of 3 taps, along each axis, padded by zeros, where u is the picture and u[i // 2] its double:

    y[o] = sum_k w[k] u[(o + k - 1) // 2]

The tap k meets u[i] where o + k - 1 is 2 i or 2 i + 1, so that with n = o - 2 i + 1 in 0 ... 3

    y[o] = sum_i W[o - 2 i + 1] u[i],        W[n] = w[2 - n] + w[3 - n]        (taps outside of w are 0)

which is a transposed convolution of stride 2 and padding 1 by 4 taps: w flipped, and summed in a sliding window
of two. Along both axes it takes 16 products a pixel of u, and not 36, and the double is never formed. At the
border nothing differs: what the transposed convolution cuts off is what met the padding alone.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from unnoise.diffusion.tensors import Features


class _Doubling(nn.Module):
    """What the convolutions below have in common; each names its parameters as another library does."""

    sums: Tensor

    def __init__(self) -> None:
        super().__init__()
        flipped = torch.eye(3).flip(1)
        along_one = functional.pad(flipped, (0, 1)) + functional.pad(flipped, (1, 0))
        self.register_buffer("sums", torch.kron(along_one, along_one), persistent=False)

    @property
    def convolution(self) -> nn.Conv2d:
        """A plain one holds the parameters, so that they start as those of any other."""
        raise NotImplementedError

    def transposed_weight(self) -> Float[Tensor, "inputs outputs 4 4"]:
        """W of w along both axes, as `conv_transpose2d` takes it: a product with 0 and 1, (9, 16)."""
        with torch.autocast(self.sums.device.type, enabled=False):  # sums are rounded once, not their terms
            weight = torch.einsum("oit,tn->ion", self.convolution.weight.flatten(2), self.sums)
        return weight.view(*weight.shape[:2], 4, 4)

    def forward(self, images: Features) -> Float[Tensor, "batch outputs 2*height 2*width"]:
        """(B, in_width, H, W) -> (B, width, 2 H, 2 W)."""
        weight = self.transposed_weight()
        return functional.conv_transpose2d(images, weight, self.convolution.bias, stride=2, padding=1)


class DoublingConv2d(_Doubling):
    """A 3x3 convolution, padded by zeros, of the picture at twice its size (nearest neighbours)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, padding=1)

    @property
    def convolution(self) -> nn.Conv2d:
        """Named as in diffusers."""
        return self.conv


class DoubledConv2d(_Doubling):
    """The same to another width, with the names of `Sequential(Upsample(2), Conv2d)`: 1.weight, 1.bias."""

    def __init__(self, in_width: int, width: int) -> None:
        super().__init__()
        self.add_module("1", nn.Conv2d(in_width, width, 3, padding=1))

    @property
    def convolution(self) -> nn.Conv2d:
        """Named as in `Sequential`."""
        convolution = self.get_submodule("1")
        assert isinstance(convolution, nn.Conv2d)
        return convolution
