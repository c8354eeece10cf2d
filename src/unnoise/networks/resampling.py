r"""Padding, downsampling and upsampling of images.

Doubling an image by nearest neighbours and convolving it is one transposed convolution of the small image. With
a kernel w of 3 taps and zero padding, along each axis, where u is the image and u[i // 2] its double:

    y[o] = sum_k w[k] u[(o + k - 1) // 2]

The tap k meets u[i] where o + k - 1 is 2 i or 2 i + 1, so that with n = o - 2 i + 1 in 0 ... 3

    y[o] = sum_i W[o - 2 i + 1] u[i],        W[n] = w[2 - n] + w[3 - n]        (taps outside of w are 0)

which is a transposed convolution of stride 2, padding 1 and 4 taps: w flipped, and summed in a sliding window
of two. In two dimensions it takes 16 products for each pixel of u instead of 36, and the doubled image is never
formed. The border is the same too: what the transposed convolution cuts off is what met only the padding.
"""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from unnoise.diffusion.tensors import Features, Images


def pad(images: Images, multiple: int) -> Float[Tensor, "batch channels padded_height padded_width"]:
    """Rounds H and W of (B, C, H, W) up to multiples of a number by repeating the last row and column."""
    height, width = images.shape[-2:]
    padding = (0, -width % multiple, 0, -height % multiple)
    return functional.pad(images, padding, mode="replicate") if any(padding) else images


def upsample(
    images: Features, mode: Literal["nearest", "bilinear"]
) -> Float[Tensor, "batch features 2*height 2*width"]:
    """Doubles height and width: (B, C, H, W) -> (B, C, 2 H, 2 W)."""
    if mode == "nearest":
        doubled: Tensor = _Doubled.apply(images)  # type: ignore[no-untyped-call]
        return doubled
    return functional.interpolate(images, scale_factor=2.0, mode="bilinear", align_corners=False)


class _Doubled(torch.autograd.Function):
    """Nearest neighbours with twice the height and width; PyTorch's own gradient copies between layouts."""

    @staticmethod
    def forward(_ctx: object, images: Features) -> Float[Tensor, "batch features 2*height 2*width"]:
        return functional.interpolate(images, scale_factor=2.0, mode="nearest")

    @staticmethod
    def backward(_ctx: object, gradient: Tensor) -> Tensor:
        return functional.avg_pool2d(gradient, 2, divisor_override=1)


def crop(
    images: Float[Tensor, "batch channels padded_height padded_width"], height: int, width: int
) -> Float[Tensor, "batch channels {height} {width}"]:
    """Removes what `pad` added: (B, C, at least H, at least W) -> (B, C, H, W)."""
    return images[..., :height, :width]


class Downsample2D(nn.Module):
    """Downsampling of diffusers' `UNet2DModel`: a 3x3 convolution of stride 2.

    Args:
        width: channels, in and out.
        padding: zeros around the image; with 0, one row and one column of zeros follow the last ones.
    """

    def __init__(self, width: int, padding: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, stride=2, padding=padding)

    def forward(self, images: Features) -> Float[Tensor, "batch features half_height half_width"]:
        """(B, width, H, W) -> (B, width, H / 2, W / 2)."""
        padded = images if self.conv.padding[0] else functional.pad(images, (0, 1, 0, 1))
        halved: Float[Tensor, "batch features half_height half_width"] = self.conv(padded)
        return halved


class UnshuffleConv2d(nn.Module):
    """Downsampling of the annotated networks, `Sequential(PixelUnshuffle(2), Conv2d)`, as one convolution.

    Names and shapes of its parameters are those of the two layers: 1.weight, 1.bias. Pixel unshuffle puts row r
    and column s of each 2x2 patch of channel c into channel 4 c + 2 r + s.
    """

    def __init__(self, in_width: int, width: int) -> None:
        super().__init__()
        self.add_module("1", nn.Conv2d(4 * in_width, width, 1))

    def forward(self, images: Features) -> Float[Tensor, "batch outputs half_height half_width"]:
        """(B, in_width, H, W) -> (B, width, H / 2, W / 2)."""
        convolution = self.get_submodule("1")
        weight = convolution.get_parameter("weight").reshape(-1, images.shape[1], 2, 2)
        return functional.conv2d(images, weight, convolution.get_parameter("bias"), stride=2)


class _UpsampleConv2d(nn.Module):
    """Common part of the two upsampling layers, which differ in the names of their parameters."""

    sums: Tensor

    def __init__(self) -> None:
        super().__init__()
        flipped = torch.eye(3).flip(1)
        along_one = functional.pad(flipped, (0, 1)) + functional.pad(flipped, (1, 0))
        self.register_buffer("sums", torch.kron(along_one, along_one), persistent=False)

    @property
    def convolution(self) -> nn.Conv2d:
        """The plain convolution that holds the parameters, so that they are initialised like any other's."""
        raise NotImplementedError

    def transposed_weight(self) -> Float[Tensor, "inputs outputs 4 4"]:
        """W of w along both axes, as `conv_transpose2d` takes it: w times a (9, 16) matrix of 0 and 1."""
        with torch.autocast(self.sums.device.type, enabled=False):  # round the sums once, not their terms
            weight = torch.einsum("oit,tn->ion", self.convolution.weight.flatten(2), self.sums)
        return weight.view(*weight.shape[:2], 4, 4)

    def forward(self, images: Features) -> Float[Tensor, "batch outputs 2*height 2*width"]:
        """(B, in_width, H, W) -> (B, width, 2 H, 2 W)."""
        weight = self.transposed_weight()
        return functional.conv_transpose2d(images, weight, self.convolution.bias, stride=2, padding=1)


class Upsample2D(_UpsampleConv2d):
    """Upsampling of diffusers' `UNet2DModel`: nearest neighbours, then a 3x3 convolution, as one layer."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, padding=1)

    @property
    def convolution(self) -> nn.Conv2d:
        """The convolution, named as in diffusers."""
        return self.conv


class UpsampleConv2d(_UpsampleConv2d):
    """Upsampling of the annotated networks, `Sequential(Upsample(2), Conv2d)`, as one layer.

    Names and shapes of its parameters are those of the two layers: 1.weight, 1.bias.
    """

    def __init__(self, in_width: int, width: int) -> None:
        super().__init__()
        self.add_module("1", nn.Conv2d(in_width, width, 3, padding=1))

    @property
    def convolution(self) -> nn.Conv2d:
        """The convolution, named as in `Sequential`."""
        convolution = self.get_submodule("1")
        assert isinstance(convolution, nn.Conv2d)
        return convolution
