r"""Two sets of pictures are alike when no polynomial of degree 3 tells their features apart.

    MMD^2 = E k(x, x') + E k(y, y') - 2 E k(x, y),      k(x, y) = (x . y / d + 1)^3

x, x' and y, y' are independent draws of either set (Demystifying MMD GANs, 1801.01401, section 4). With the
features of an Inception network it is called KID; a metric knows neither network nor pictures, only vectors.

torchmetrics' own estimate divides the sum across the sets by the square of one set's size, and so is right only
for sets of one size, of which it draws subsets at random. Hence the sums stand here; the tests compare the two.
"""

from typing import TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor

from unnoise.diffusion.tensors import Scalar
from unnoise.evaluation.metrics.intervals import Interval
from unnoise.evaluation.metrics.vectors import AnyVectors, OtherVectors, Table, Vectors, checked, rows_at_once
from unnoise.utils.errors import require

Drawn: TypeAlias = Float[Tensor, "resamples pictures"]
OtherDrawn: TypeAlias = Float[Tensor, "resamples others"]


def kernel_distance(features: AnyVectors, others: AnyVectors) -> Scalar:
    """The unbiased estimate of the MMD^2 above, in float64, from (N, d) and (M, d).

    No picture is compared with itself, so the estimate is right on average: 0 for two samples of one
    distribution, and below 0 for about every other pair of them. Time grows with (N + M)^2.

    Raises:
        UnnoiseError: for fewer than 2 of either, other dimensions, or features that are not finite.
    """
    left, right = checked("unbiased kernel distance", features, others)
    return _among(left) + _among(right) - 2 * _total(left, right) / (len(left) * len(right))


def kernel_interval(
    features: AnyVectors, others: AnyVectors, *, resamples: int = 1000, seed: int = 0
) -> Interval:
    r"""`kernel_distance` with its 95 % bootstrap interval, between the quantiles of what is drawn again.

    Both sets are drawn with replacement, so that picture i comes n_i times:

        sum_{i != j} n_i n_j k(x_i, x_j) / (N - 1)^2 + the same of y - 2 sum_{i, j} n_i m_j k(x_i, y_j) / (N M)

    No picture meets its own duplicate, and E[n_i n_j] = (N - 1) / N, so these are right on average. They spread
    as the estimate does where the distributions differ: 95 % of the intervals contain the distance. Where they
    are equal nearly all do, as the variance of a bootstrap is then three times the estimate's (Arcones and
    Gine, 1992): the price of limits that hold near 0 and away from it. Taking the excess off by an unbiased
    variance (1906.02104) was tried, and made them too narrow for few pictures away from 0.

    Memory and time grow with (N + M)^2; 2,000 and 2,000 take seconds.

    Raises:
        UnnoiseError: as `kernel_distance`, and for fewer than 100 resamples.
    """
    left, right = checked("unbiased kernel distance", features, others)
    require(resamples >= 100, f"A 95 % interval needs at least 100 resamples, but got {resamples}.")
    count, other_count = len(left), len(right)
    kernel = _centred(torch.cat([left, right])).fill_diagonal_(0.0)
    generator = torch.Generator().manual_seed(seed)
    drawn = _counts(count, resamples, generator).to(left) / (count - 1)
    other_drawn = _counts(other_count, resamples, generator).to(left) / (other_count - 1)
    across = (count - 1) * (other_count - 1) / (count * other_count)
    found = (
        _weighted(drawn, kernel[:count, :count], drawn)
        + _weighted(other_drawn, kernel[count:, count:], other_drawn)
        - 2 * across * _weighted(drawn, kernel[:count, count:], other_drawn)
    )
    low, high = found.quantile(found.new_tensor([0.025, 0.975])).tolist()
    value = kernel_distance(left, right).item()
    return Interval(value, min(low, value), max(high, value))


def _centred(vectors: Vectors) -> Table:
    """The kernel around the mean of all: the distance stays, but draws no longer jump with what all share."""
    kernel = _kernel(vectors, vectors)
    means = kernel.mean(0)
    return kernel.sub_(means[:, None]).sub_(means).add_(means.mean())


def _counts(count: int, resamples: int, generator: torch.Generator) -> Drawn:
    """How often each picture comes in a draw of as many with replacement."""
    chosen = torch.randint(count, (resamples, count), generator=generator)
    ones = torch.ones(resamples, count, dtype=torch.float64)
    return torch.zeros_like(ones).scatter_add_(1, chosen, ones)


def _weighted(drawn: Drawn, kernel: Table, others: OtherDrawn) -> Float[Tensor, " resamples"]:
    return ((drawn @ kernel) * others).sum(1)


def _kernel(left: Vectors, right: OtherVectors) -> Table:
    # In place, as there may be memory for one such table only.
    return (left @ right.T).div_(left.shape[1]).add_(1).pow_(3)


def _total(left: Vectors, right: OtherVectors) -> Scalar:
    """The sum of the kernel over all pairs, some rows at a time."""
    parts = [_kernel(left[rows], right).sum() for rows in rows_at_once(len(left), len(right))]
    return torch.stack(parts).sum()


def _among(vectors: Vectors) -> Scalar:
    """The mean of the kernel over all pairs of different vectors."""
    own = (vectors.square().sum(1) / vectors.shape[1] + 1) ** 3
    return (_total(vectors, vectors) - own.sum()) / (len(vectors) * (len(vectors) - 1))
