r"""Kernel distance (KID): squared maximum mean discrepancy with a cubic polynomial kernel.

    MMD^2 = E k(x, x') + E k(y, y') - 2 E k(x, y),      k(x, y) = (x . y / d + 1)^3

x, x' and y, y' are independent draws of either set (Demystifying MMD GANs, 1801.01401, section 4). With the
features of an Inception network it is called KID.

torchmetrics divides the sum across the sets by the square of one set's size, so it is right only for sets of
equal size, of which it draws subsets at random. Hence this implementation; the tests compare the two.
"""

from typing import TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor

from unnoise.diffusion.tensors import Scalar
from unnoise.evaluation.metrics.confidence_intervals import ConfidenceInterval
from unnoise.evaluation.metrics.vectors import AnyVectors, OtherVectors, Table, Vectors, checked, rows_at_once
from unnoise.utils.errors import require

DrawCounts: TypeAlias = Float[Tensor, "resamples pictures"]
OtherDrawCounts: TypeAlias = Float[Tensor, "resamples others"]


def kernel_distance(features: AnyVectors, others: AnyVectors) -> Scalar:
    """Unbiased estimate of the MMD^2 above, in float64, from (N, d) and (M, d).

    Pairs of a picture with itself are left out, so the mean over samples is exact: for two samples of one
    distribution it is 0, so about half of the estimates are negative. Time grows with (N + M)^2.

    Raises:
        UnnoiseError: for fewer than 2 of either, other dimensions, or features that are not finite.
    """
    left, right = checked("unbiased kernel distance", features, others)
    return (
        _mean_of_pairs(left) + _mean_of_pairs(right) - 2 * _sum_of_pairs(left, right) / (len(left) * len(right))
    )


def kernel_interval(
    features: AnyVectors, others: AnyVectors, *, resamples: int = 1000, seed: int = 0
) -> ConfidenceInterval:
    r"""Kernel distance with its 95 % bootstrap interval (quantiles of resampled distances).

    Both sets are resampled with replacement; picture i is drawn n_i times:

        sum_{i != j} n_i n_j k(x_i, x_j) / (N - 1)^2 + the same of y - 2 sum_{i, j} n_i m_j k(x_i, y_j) / (N M)

    A picture is not paired with its own duplicate, and E[n_i n_j] = (N - 1) / N, so the resampled distances are
    unbiased. Where the distributions differ, they spread as the estimate does: 95 % of the intervals contain
    the distance. Where the distributions are equal nearly all intervals do, because the variance of the
    bootstrap is then three times that of the estimate (Arcones and Gine, 1992). Correcting this with an
    unbiased variance (1906.02104) was tried, and made the intervals too narrow for few pictures away from 0.

    Memory and time grow with (N + M)^2; 2,000 and 2,000 take seconds.

    Raises:
        UnnoiseError: as `kernel_distance`, and for fewer than 100 resamples.
    """
    left, right = checked("unbiased kernel distance", features, others)
    require(resamples >= 100, f"A 95 % interval needs at least 100 resamples, but got {resamples}.")
    count, other_count = len(left), len(right)
    kernel = _centred_kernel(torch.cat([left, right])).fill_diagonal_(0.0)
    generator = torch.Generator().manual_seed(seed)
    drawn = _draw_counts(count, resamples, generator).to(left) / (count - 1)
    other_drawn = _draw_counts(other_count, resamples, generator).to(left) / (other_count - 1)
    across = (count - 1) * (other_count - 1) / (count * other_count)
    found = (
        _weighted_sums(drawn, kernel[:count, :count], drawn)
        + _weighted_sums(other_drawn, kernel[count:, count:], other_drawn)
        - 2 * across * _weighted_sums(drawn, kernel[:count, count:], other_drawn)
    )
    low, high = found.quantile(found.new_tensor([0.025, 0.975])).tolist()
    value = kernel_distance(left, right).item()
    return ConfidenceInterval(value, min(low, value), max(high, value))


def _centred_kernel(vectors: Vectors) -> Table:
    """The kernel centred on the mean of all vectors: the same distance, but less variance between resamples."""
    kernel = _kernel(vectors, vectors)
    means = kernel.mean(0)
    return kernel.sub_(means[:, None]).sub_(means).add_(means.mean())


def _draw_counts(count: int, resamples: int, generator: torch.Generator) -> DrawCounts:
    """How often each picture is drawn, in `resamples` draws of `count` pictures with replacement."""
    chosen = torch.randint(count, (resamples, count), generator=generator)
    ones = torch.ones(resamples, count, dtype=torch.float64)
    return torch.zeros_like(ones).scatter_add_(1, chosen, ones)


def _weighted_sums(drawn: DrawCounts, kernel: Table, others: OtherDrawCounts) -> Float[Tensor, " resamples"]:
    return ((drawn @ kernel) * others).sum(1)


def _kernel(left: Vectors, right: OtherVectors) -> Table:
    # In place, because memory may suffice for one such table only.
    return (left @ right.T).div_(left.shape[1]).add_(1).pow_(3)


def _sum_of_pairs(left: Vectors, right: OtherVectors) -> Scalar:
    """The sum of the kernel over all pairs, in blocks of rows."""
    parts = [_kernel(left[rows], right).sum() for rows in rows_at_once(len(left), len(right))]
    return torch.stack(parts).sum()


def _mean_of_pairs(vectors: Vectors) -> Scalar:
    """The mean of the kernel over all pairs of different vectors."""
    own = (vectors.square().sum(1) / vectors.shape[1] + 1) ** 3
    return (_sum_of_pairs(vectors, vectors) - own.sum()) / (len(vectors) * (len(vectors) - 1))
