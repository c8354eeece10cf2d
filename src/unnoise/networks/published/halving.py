"""Four neighbours as channels of one position, and a 1x1 convolution of these, are one strided convolution."""

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from unnoise.diffusion.tensors import Features


class HalvedConv2d(nn.Module):
    """The same with the names and shapes of `Sequential(PixelUnshuffle(2), Conv2d)`: 1.weight, 1.bias.

    Pixel unshuffle puts row r and column s of each 2x2 patch of channel c into channel 4 c + 2 r + s.
    """

    def __init__(self, in_width: int, width: int) -> None:
        super().__init__()
        self.add_module("1", nn.Conv2d(4 * in_width, width, 1))

    def forward(self, images: Features) -> Float[Tensor, "batch outputs half_height half_width"]:
        """(B, in_width, H, W) -> (B, width, H / 2, W / 2)."""
        convolution = self.get_submodule("1")
        weight = convolution.get_parameter("weight").reshape(-1, images.shape[1], 2, 2)
        return functional.conv2d(images, weight, convolution.get_parameter("bias"), stride=2)
