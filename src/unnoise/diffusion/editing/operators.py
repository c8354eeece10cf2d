r"""Linear measurement operators: downsampling, grey, blur and mask, each with its adjoint.

The adjoint A^T of A is defined by <A x, y> = <x, A^T y>. The operators are the same for normalised images and
for images in [0, 1], except that `Grey` needs weights for normalised channels.
"""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol, TypeAlias, runtime_checkable

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from unnoise.diffusion.posteriors import like
from unnoise.diffusion.tensors import Images
from unnoise.utils.errors import require

Measured: TypeAlias = Float[Tensor, "batch measured_channels measured_height measured_width"]
"""Measurements of images."""

LUMA = (0.299, 0.587, 0.114)
"""The luma weights of red, green and blue (ITU-R BT.601)."""


@runtime_checkable
class Operator(Protocol):
    """A linear map from images to measurements, the same for each image."""

    def __call__(self, images: Images) -> Measured:
        """A x: the measurements of images."""
        ...

    def adjoint(self, measured: Measured) -> Images:
        """A^T y: the adjoint applied to measurements."""
        ...


@dataclass(frozen=True)
class Downsample:
    """Downsampling by averaging factor x factor pixels: (B, C, H, W) -> (B, C, H / factor, W / factor).

    Raises:
        UnnoiseError: for a factor below 1, or one that does not divide height and width.
    """

    factor: int

    def __post_init__(self) -> None:
        require(self.factor >= 1, f"The factor of downsampling is at least 1, but got {self.factor}: try 2.")

    def require_fits(self, height: int, width: int) -> None:
        """Raises `UnnoiseError` unless the factor divides both."""
        fitting = [n for n in range(2, math.gcd(height, width) + 1) if height % n == width % n == 0]
        require(
            height % self.factor == width % self.factor == 0,
            f"The factor must divide height and width, but {self.factor} does not divide {height}x{width}: "
            f"take {' or '.join(map(str, fitting)) if fitting else 'pictures of another size'}.",
        )

    def __call__(self, images: Images) -> Measured:
        """The mean of each factor x factor square."""
        self.require_fits(*images.shape[2:])
        return functional.avg_pool2d(images, self.factor)

    def adjoint(self, measured: Measured) -> Images:
        """Each value divided by factor^2, at all pixels of its square."""
        spread = measured.repeat_interleave(self.factor, 2).repeat_interleave(self.factor, 3)
        return spread / self.factor**2


@dataclass(frozen=True)
class Grey:
    """Grey pictures, a weighted sum of the channels: (B, C, H, W) -> (B, 1, H, W).

    Args:
        weights: one for each channel. For normalised images, the weights times the normalizer's std:
            sum w_c (mean_c + std_c x_c) = sum w_c std_c x_c + a constant.

    Raises:
        UnnoiseError: if all weights are 0; when called, for images with another number of channels.
    """

    weights: tuple[float, ...] = LUMA

    def __post_init__(self) -> None:
        require(any(self.weights), f"At least one weight of Grey must differ from 0, but got {self.weights}.")

    def __call__(self, images: Images) -> Measured:
        """The weighted sum of the channels."""
        require(
            images.shape[1] == len(self.weights),
            f"Grey needs a weight for each channel, but has {len(self.weights)} for {images.shape[1]}.",
        )
        return (images * self._column(images)).sum(1, keepdim=True)

    def adjoint(self, measured: Measured) -> Images:
        """Each value times the weight of the channel, in each channel."""
        return measured * self._column(measured)

    def _column(self, images: Tensor) -> Tensor:
        return images.new_tensor(self.weights).view(1, -1, 1, 1)


@dataclass(frozen=True)
class Blur:
    """Gaussian blur, mirrored at the border: (B, C, H, W) -> (B, C, H, W).

    Args:
        sigma: the standard deviation in pixels.

    Raises:
        UnnoiseError: for a sigma that is not above 0.
    """

    sigma: float

    def __post_init__(self) -> None:
        require(
            0 < self.sigma < math.inf,
            f"The sigma of a blur is above 0 pixels, but got {self.sigma:g}: try 1.",
        )

    def __call__(self, images: Images) -> Measured:
        """The blurred images."""
        rows, columns = self._matrices(images)
        return rows @ images @ columns.mT

    def adjoint(self, measured: Measured) -> Images:
        """The transposed blur."""
        rows, columns = self._matrices(measured)
        return rows.mT @ measured @ columns

    def _matrices(self, images: Tensor) -> tuple[Tensor, Tensor]:
        height, width = images.shape[2:]
        return like(_blur_matrix(height, self.sigma), images), like(_blur_matrix(width, self.sigma), images)


@lru_cache(maxsize=16)
def _blur_matrix(size: int, sigma: float) -> Float[Tensor, "size size"]:
    """The matrix of a blur along one axis, in float64; weights beyond the border are mirrored."""
    reach = max(1, round(4 * sigma))
    offsets = torch.arange(-reach, reach + 1)
    weights = torch.exp(-(offsets.double() ** 2) / (2 * sigma**2))
    places = (torch.arange(size)[:, None] + offsets) % (2 * size)
    mirrored = torch.where(places < size, places, 2 * size - 1 - places)
    matrix = torch.zeros(size, size, dtype=torch.float64)
    return matrix.scatter_add_(1, mirrored, (weights / weights.sum()).expand(size, -1).contiguous())


@dataclass(frozen=True, eq=False)
class Mask:
    """Mask that sets unknown pixels to 0: (B, C, H, W) -> (B, C, H, W).

    Args:
        known: (B, 1, H, W) or (1, 1, H, W), true where a pixel is known.
    """

    known: Bool[Tensor, "_ 1 height width"]

    def __call__(self, images: Images) -> Measured:
        """The known pixels, and 0 elsewhere."""
        return images * self.known

    def adjoint(self, measured: Measured) -> Images:
        """The same operation: a mask is its own adjoint."""
        return measured * self.known
