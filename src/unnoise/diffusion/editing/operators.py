r"""Much that happens to pictures is linear: they get smaller, grey, blurred, or lose pixels.

Each operator A comes with its adjoint, the A^T of <A x, y> = <x, A^T y>, which brings what was measured back to
where it came from. They act on normalised images as on pictures in [0, 1], except that `Grey` has to be told
the weights that the normalised channels have.
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
"""What is left of images."""

LUMA = (0.299, 0.587, 0.114)
"""How bright red, green and blue look (ITU-R BT.601)."""


@runtime_checkable
class Operator(Protocol):
    """A linear map from images to what is measured of them, image by image."""

    def __call__(self, images: Images) -> Measured:
        """A x."""
        ...

    def adjoint(self, measured: Measured) -> Images:
        """A^T y."""
        ...


@dataclass(frozen=True)
class Downsample:
    """Averages squares of factor x factor pixels: (B, C, H, W) -> (B, C, H / factor, W / factor).

    Raises:
        UnnoiseError: for a factor below 1, or one that does not divide height and width.
    """

    factor: int

    def __post_init__(self) -> None:
        require(self.factor >= 1, f"A picture gets smaller by a factor of at least 1, but got {self.factor}.")

    def require_fits(self, height: int, width: int) -> None:
        """Raises `UnnoiseError` unless the factor divides both."""
        fitting = [n for n in range(2, math.gcd(height, width) + 1) if height % n == width % n == 0]
        require(
            height % self.factor == width % self.factor == 0,
            f"The factor divides height and width, but {self.factor} does not divide {height}x{width}: take "
            f"{' or '.join(map(str, fitting)) if fitting else 'pictures of another size'}.",
        )

    def __call__(self, images: Images) -> Measured:
        """The mean of each square."""
        self.require_fits(*images.shape[2:])
        return functional.avg_pool2d(images, self.factor)

    def adjoint(self, measured: Measured) -> Images:
        """Each value to all pixels of its square, divided by their number."""
        spread = measured.repeat_interleave(self.factor, 2).repeat_interleave(self.factor, 3)
        return spread / self.factor**2


@dataclass(frozen=True)
class Grey:
    """One weighted sum of the channels: (B, C, H, W) -> (B, 1, H, W).

    Args:
        weights: one for each channel. Of normalised images, those of the picture times the normalizer's std:
            sum w_c (mean_c + std_c x_c) = sum w_c std_c x_c + a constant.
    """

    weights: tuple[float, ...] = LUMA

    def __post_init__(self) -> None:
        require(any(self.weights), f"A grey picture takes something of its colours, but got {self.weights}.")

    def __call__(self, images: Images) -> Measured:
        """The weighted sum."""
        require(
            images.shape[1] == len(self.weights),
            f"Grey weighs each channel, but has {len(self.weights)} weights for {images.shape[1]} channels.",
        )
        return (images * self._column(images)).sum(1, keepdim=True)

    def adjoint(self, measured: Measured) -> Images:
        """The value to each channel, times its weight."""
        return measured * self._column(measured)

    def _column(self, images: Tensor) -> Tensor:
        return images.new_tensor(self.weights).view(1, -1, 1, 1)


@dataclass(frozen=True)
class Blur:
    """A Gaussian of `sigma` pixels; beyond the border the picture is mirrored: (B, C, H, W) -> the same.

    Raises:
        UnnoiseError: for a sigma that is not above 0.
    """

    sigma: float

    def __post_init__(self) -> None:
        require(
            0 < self.sigma < math.inf,
            f"A blur is more than 0 pixels wide, but got sigma {self.sigma:g}: try 1.",
        )

    def __call__(self, images: Images) -> Measured:
        """Rows, then columns."""
        rows, columns = self._matrices(images)
        return rows @ images @ columns.mT

    def adjoint(self, measured: Measured) -> Images:
        """The same matrices, transposed."""
        rows, columns = self._matrices(measured)
        return rows.mT @ measured @ columns

    def _matrices(self, images: Tensor) -> tuple[Tensor, Tensor]:
        height, width = images.shape[2:]
        return like(_blurring(height, self.sigma), images), like(_blurring(width, self.sigma), images)


@lru_cache(maxsize=16)
def _blurring(size: int, sigma: float) -> Float[Tensor, "size size"]:
    """The matrix of a blur along one axis, in float64: what the mirror shows is added to what it mirrors."""
    reach = max(1, round(4 * sigma))
    offsets = torch.arange(-reach, reach + 1)
    weights = torch.exp(-(offsets.double() ** 2) / (2 * sigma**2))
    places = (torch.arange(size)[:, None] + offsets) % (2 * size)
    mirrored = torch.where(places < size, places, 2 * size - 1 - places)
    matrix = torch.zeros(size, size, dtype=torch.float64)
    return matrix.scatter_add_(1, mirrored, (weights / weights.sum()).expand(size, -1).contiguous())


@dataclass(frozen=True, eq=False)
class Mask:
    """Keeps some pixels, and makes the others 0: (B, C, H, W) -> the same.

    Args:
        known: (B, 1, H, W) or (1, 1, H, W), true where a pixel is kept.
    """

    known: Bool[Tensor, "_ 1 height width"]

    def __call__(self, images: Images) -> Measured:
        """What is known."""
        return images * self.known

    def adjoint(self, measured: Measured) -> Images:
        """The same: a mask is its own adjoint."""
        return measured * self.known
