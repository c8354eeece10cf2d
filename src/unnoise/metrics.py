r"""Two sets of pictures are alike when no polynomial of degree 3 tells their features apart.

    MMD^2 = E k(x, x') + E k(y, y') - 2 E k(x, y),      k(x, y) = (x . y / d + 1)^3

x, x' and y, y' are independent draws of either set (Demystifying MMD GANs, 1801.01401, section 4). With the
features of an Inception network it is called KID; a metric knows neither network nor pictures, only vectors.
"""

from typing import TypeAlias

from jaxtyping import Float
from torch import Tensor

from unnoise.errors import require
from unnoise.tensors import Scalar

Vectors: TypeAlias = Float[Tensor, "pictures dimensions"]
OtherVectors: TypeAlias = Float[Tensor, "others dimensions"]
Kernel: TypeAlias = Float[Tensor, "pictures others"]


def kernel_distance(features: Vectors, others: OtherVectors) -> Scalar:
    """The unbiased estimate of the MMD^2 above, in float64, from (N, d) and (M, d).

    No picture is compared with itself, so the estimate is right on average: 0 for two samples of one
    distribution, and below 0 for about every other pair of them. Time and memory grow with (N + M)^2.

    Raises:
        UnnoiseError: for fewer than 2 of either.
    """
    require(
        min(len(features), len(others)) >= 2,
        f"The unbiased kernel distance compares pictures of one set with each other, so that each needs 2, "
        f"but got {len(features)} and {len(others)}.",
    )
    left, right = features.double(), others.double()
    return _among(left) + _among(right) - 2 * _kernel(left, right).mean()


def _kernel(left: Vectors, right: OtherVectors) -> Kernel:
    return (left @ right.T / left.shape[1] + 1) ** 3


def _among(vectors: Vectors) -> Scalar:
    """The mean of the kernel over all pairs of different vectors."""
    values = _kernel(vectors, vectors)
    return (values.sum() - values.diagonal().sum()) / (len(vectors) * (len(vectors) - 1))
