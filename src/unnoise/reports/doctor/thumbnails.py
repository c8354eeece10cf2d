r"""Two pictures are near when what is left of them without brightness, contrast and fine detail is.

    vector = (thumbnail - its mean) / sqrt(its variance + 8^2) / sqrt(numbers in it)

The thumbnail is the mean over 16 x 16 fields (fewer where a picture is smaller), for each channel; means are
taken of each channel, the variance over all. So a vector is at most 1 long, a picture and its lighter or
stronger copy share it, and the distance of two is that of their thumbnails in units of their contrast. The 8
grey levels keep what JPEG leaves behind in a calm picture from counting as its content.
"""

from typing import NamedTuple, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

Vectors: TypeAlias = NDArray[np.float16]
"""(N, fields * channels), each at most 1 long."""

_FIELDS = 16
_CALM = 8.0
_AT_ONCE = 256
_GREY = 3.0
"""Grey levels between the channels of a field that JPEG may leave in a grey picture."""


class Looks(NamedTuple):
    """What is kept of each picture."""

    vectors: Vectors
    colourful: NDArray[np.bool_]
    """(N,): whether the first three channels differ anywhere; false where there are fewer."""


def looks(pixels: NDArray[np.uint8]) -> Looks:
    """The vectors of pictures (N, H, W, C), a few at a time."""
    parts = [_looks(pixels[first : first + _AT_ONCE]) for first in range(0, len(pixels), _AT_ONCE)]
    return Looks(*(np.concatenate(each) for each in zip(*parts, strict=True)))


def _looks(pixels: NDArray[np.uint8]) -> Looks:
    fields = _thumbnails(pixels)
    colours = fields[:, :3]
    colourful = (colours.amax(1) - colours.amin(1)).amax((1, 2)) > _GREY
    centred = fields - fields.mean((2, 3), keepdim=True)
    spread = (centred.square().mean((1, 2, 3), keepdim=True) + _CALM**2).sqrt()
    vectors = (centred / spread).flatten(1) / centred[0].numel() ** 0.5
    return Looks(vectors.half().numpy(), colourful.numpy() & (pixels.shape[3] >= 3))


def _thumbnails(pixels: NDArray[np.uint8]) -> torch.Tensor:
    """The means over fields, (n, C, rows, columns), in grey levels."""
    _, height, width, _ = pixels.shape
    images = torch.from_numpy(np.array(pixels)).permute(0, 3, 1, 2).float()
    return torch.nn.functional.adaptive_avg_pool2d(images, (min(height, _FIELDS), min(width, _FIELDS)))
