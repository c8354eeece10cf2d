"""Preprocessing of pictures for feature extractors: colour channels, antialiased resizing, standardisation.

Transparent pictures are put on white, grey ones are repeated in three channels:

    colour = alpha * colour + (1 - alpha) * white

Resizing is bilinear, with a filter as wide as the pixels of the result, so that shrinking does not alias
(2104.11222).
"""

from dataclasses import dataclass
from functools import partial
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
    """Pictures in colour, float (B, 3, H, W) from 0 to 255, of 1 to 4 channels (grey or colour, alpha or not).

    Raises:
        UnnoiseError: for other numbers of channels.
    """
    channels = pictures.shape[1]
    require(
        1 <= channels <= 4,
        f"Feature extractors need pictures of 1 to 4 channels (grey or colour, with or without alpha), but "
        f"these have {channels}.",
    )
    images = pictures.float()
    if channels in {2, 4}:
        opacity = images[:, -1:] / 255
        images = opacity * images[:, :-1] + (1 - opacity) * 255
    return images.expand(-1, 3, -1, -1) if images.shape[1] == 1 else images


def resized(images: Images, height: int, width: int) -> Resized:
    """Pictures resized to (B, C, height, width), bilinear and antialiased; unchanged if they have that size."""
    if images.shape[2:] == (height, width):
        return images
    resize = partial(functional.interpolate, size=(height, width), mode="bilinear", antialias=True)
    try:
        return resize(images, align_corners=False)
    except NotImplementedError:  # MPS of older versions of PyTorch has no such kernel
        return resize(images.cpu(), align_corners=False).to(images.device)


@dataclass(frozen=True)
class Preparation:
    """Conversion to colour, resizing, and (value - mean) / deviation, both in units of values from 0 to 255.

    The repr of this class is part of digests and cache keys: do not rename it or its fields.
    """

    height: int
    width: int
    means: Triple
    deviations: Triple
    scale: str

    def __call__(self, pictures: Pixels) -> Prepared:
        """Input of the network, float (B, 3, height, width), from uint8 pictures."""
        images = resized(to_colour(pictures), self.height, self.width)
        means, deviations = (_per_channel(values, images) for values in (self.means, self.deviations))
        return (images - means) / deviations

    @property
    def words(self) -> str:
        """Description of the resizing and scaling, to print beside a distance."""
        square = " (whatever their shape)" if self.height == self.width else ""
        return f"bilinear, antialiased, to {self.height} x {self.width}{square}, {self.scale}"


def square_preparation(side: int, means: Triple, deviations: Triple, scale: str) -> Preparation:
    """Preprocessing to `side` x `side`.

    Raises:
        UnnoiseError: unless the side is 1 to 4096.
    """
    require(1 <= side <= 4096, f"The side of an extractor is from 1 to 4096 pixels, but got {side}: try 64.")
    return Preparation(side, side, means, deviations, scale)


def imagenet_preparation(side: int) -> Preparation:
    """Preprocessing to `side` x `side`, standardised with ImageNet's mean and standard deviation."""
    means, deviations = (
        (255 * values[0], 255 * values[1], 255 * values[2]) for values in (IMAGENET_MEANS, IMAGENET_DEVIATIONS)
    )
    return square_preparation(side, means, deviations, "in ImageNet's mean and deviation")


def _per_channel(values: Triple, like: Images) -> Tensor:
    return torch.tensor(values, dtype=like.dtype, device=like.device).view(1, 3, 1, 1)
