"""The mean and variance of any subset follow exactly from two sums of each picture, so they are kept."""

import numpy as np
from numpy.typing import NDArray

from unnoise.data.cache.mapping import chunks

Moments = NDArray[np.int64]
"""(N, 2, C): for each picture and channel the sum of its bytes, and the sum of their squares."""

_AT_ONCE = 256


def moments(pixels: NDArray[np.uint8]) -> Moments:
    """The sums of pictures (N, H, W, C), some at a time."""
    return np.concatenate([_moments(some) for some in chunks(pixels, _AT_ONCE)])


def _moments(pixels: NDArray[np.uint8]) -> Moments:
    flat = pixels.reshape(len(pixels), -1, pixels.shape[-1])
    values = np.moveaxis(flat, -1, 1).astype(np.int64, order="C")  # a channel in one piece is added up fast
    return np.stack([values.sum(2), np.einsum("ncp,ncp->nc", values, values)], axis=1)
