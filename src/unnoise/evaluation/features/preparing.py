"""Every extractor is shown the same thing: three colours, no transparency, and a size of its own.

    colour = alpha * colour + (1 - alpha) * white

Grey is repeated. Sizes are changed by bilinear interpolation with a filter as wide as the pixels of the result,
so that shrinking does not alias (2104.11222).
"""

from dataclasses import dataclass
from typing import TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from unnoise.diffusion.tensors import Images, Pixels
from unnoise.utils.errors import require

Triple: TypeAlias = tuple[float, float, float]

Coloured: TypeAlias = Float[Tensor, "batch 3 height width"]
Resized: TypeAlias = Float[Tensor, "batch channels new_height new_width"]
Prepared: TypeAlias = Float[Tensor, "batch 3 new_height new_width"]

IMAGENET_MEANS: Triple = (0.485, 0.456, 0.406)
IMAGENET_DEVIATIONS: Triple = (0.229, 0.224, 0.225)


def to_colour(pictures: Pixels) -> Coloured:
    """Float pictures (B, 3, H, W), still from 0 to 255, of 1 grey, 2 grey and alpha, 3 colour, 4 with alpha.

    Raises:
        UnnoiseError: for more channels, or none.
    """
    channels = pictures.shape[1]
    require(
        1 <= channels <= 4,
        f"Features are of grey or coloured pictures, with or without alpha: of 1 to 4 channels, but these have "
        f"{channels}.",
    )
    images = pictures.float()
    if channels in {2, 4}:
        opacity = images[:, -1:] / 255
        images = opacity * images[:, :-1] + (1 - opacity) * 255
    return images.expand(-1, 3, -1, -1) if images.shape[1] == 1 else images


def resized(images: Images, height: int, width: int) -> Resized:
    """Float pictures (B, C, height, width): bilinear and antialiased; those of that size stay as they are."""
    if images.shape[2:] == (height, width):
        return images
    return functional.interpolate(images, (height, width), mode="bilinear", antialias=True, align_corners=False)


@dataclass(frozen=True)
class Preparation:
    """Colour, a size, then (value - mean) / deviation, where the mean and deviation are of values 0 to 255."""

    height: int
    width: int
    means: Triple
    deviations: Triple
    scale: str

    def __call__(self, pictures: Pixels) -> Prepared:
        """Float pictures (B, 3, height, width)."""
        images = resized(to_colour(pictures), self.height, self.width)
        means, deviations = (_per_channel(values, images) for values in (self.means, self.deviations))
        return (images - means) / deviations

    @property
    def words(self) -> str:
        """For people: what is done to the size, and to the values."""
        square = " (whatever their shape)" if self.height == self.width else ""
        return f"bilinear, antialiased, to {self.height} x {self.width}{square}, {self.scale}"


def square(side: int, means: Triple, deviations: Triple, scale: str) -> Preparation:
    """To `side` x `side`.

    Raises:
        UnnoiseError: unless the side is 1 to 4096.
    """
    require(1 <= side <= 4096, f"An extractor's side is from 1 to 4096 pixels, but got {side}: try 64.")
    return Preparation(side, side, means, deviations, scale)


def imagenet(side: int) -> Preparation:
    """To `side` x `side`, less ImageNet's mean, over its deviation: what most networks take."""
    means, deviations = (
        (255 * values[0], 255 * values[1], 255 * values[2]) for values in (IMAGENET_MEANS, IMAGENET_DEVIATIONS)
    )
    return square(side, means, deviations, "in ImageNet's mean and deviation")


def _per_channel(values: Triple, like: Images) -> Tensor:
    return torch.tensor(values, dtype=like.dtype, device=like.device).view(1, 3, 1, 1)
