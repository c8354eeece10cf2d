r"""Thumbnail vectors of pictures, independent of brightness, contrast and fine detail.

    vector = (thumbnail - its mean) / sqrt(its variance + 8^2) / sqrt(numbers in it)

The thumbnail is the mean over 16 x 16 fields (fewer for smaller pictures) of each channel. The mean is that of
each channel, the variance that of all. So a vector is at most 1 long, a picture and its lighter or
higher-contrast copy share it, and the distance of two vectors is that of the thumbnails in units of their
contrast. The 8 grey levels keep JPEG artefacts in a flat picture from counting as content.
"""

from typing import NamedTuple, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

Vectors: TypeAlias = NDArray[np.float16]
"""(N, fields * channels), each at most 1 long."""

_FIELDS = 16
_FLAT = 8.0
_AT_ONCE = 256
_GREY = 3.0
"""Largest difference between the channels of a field, in grey levels, that JPEG may leave in a grey picture."""


class Thumbnails(NamedTuple):
    """Thumbnail vectors of pictures, and which pictures have colours."""

    vectors: Vectors
    colourful: NDArray[np.bool_]
    """(N,): whether the first three channels differ anywhere; false if there are fewer channels."""


def thumbnail_vectors(pixels: NDArray[np.uint8]) -> Thumbnails:
    """Thumbnail vectors of pictures (N, H, W, C), a few at a time."""
    parts = [_vectors(pixels[first : first + _AT_ONCE]) for first in range(0, len(pixels), _AT_ONCE)]
    return Thumbnails(*(np.concatenate(each) for each in zip(*parts, strict=True)))


def _vectors(pixels: NDArray[np.uint8]) -> Thumbnails:
    fields = _field_means(pixels)
    colours = fields[:, :3]
    colourful = (colours.amax(1) - colours.amin(1)).amax((1, 2)) > _GREY
    centred = fields - fields.mean((2, 3), keepdim=True)
    spread = (centred.square().mean((1, 2, 3), keepdim=True) + _FLAT**2).sqrt()
    vectors = (centred / spread).flatten(1) / centred[0].numel() ** 0.5
    return Thumbnails(vectors.half().numpy(), colourful.numpy() & (pixels.shape[3] >= 3))


def _field_means(pixels: NDArray[np.uint8]) -> torch.Tensor:
    """The means over fields, (n, C, rows, columns), in grey levels."""
    _, height, width, _ = pixels.shape
    images = torch.from_numpy(np.array(pixels)).permute(0, 3, 1, 2).float()
    return torch.nn.functional.adaptive_avg_pool2d(images, (min(height, _FIELDS), min(width, _FIELDS)))
