"""Distances and nearest neighbours of feature vectors, computed in blocks of rows."""

from collections.abc import Iterator
from typing import NamedTuple, TypeAlias

import torch
from jaxtyping import Float, Int
from torch import Tensor

from unnoise.diffusion.tensors import in_float64
from unnoise.utils.errors import require

Vectors: TypeAlias = Float[Tensor, "pictures dimensions"]
OtherVectors: TypeAlias = Float[Tensor, "others dimensions"]
AnyVectors: TypeAlias = Float[Tensor, "_ _"]
"""Vectors before `checked`: the dimensions of two sets may differ."""

PerPicture: TypeAlias = Float[Tensor, " pictures"]
Table: TypeAlias = Float[Tensor, "pictures others"]

MAX_ENTRIES = 4_000_000
"""Entries of a table of distances that are computed at once: 32 MB."""


class Neighbours(NamedTuple):
    """Nearest vectors of a pool, nearest first, and their distances."""

    distances: Float[Tensor, "pictures nearest"]
    indices: Int[Tensor, "pictures nearest"]


def checked(what: str, *sets: AnyVectors, least: int = 2) -> list[Vectors]:
    """Sets of vectors as float64, after checking sizes and values; `what` names the metric in error messages.

    Raises:
        UnnoiseError: for fewer than `least` vectors, different dimensions, or values that are not finite.
    """
    counts = " and ".join(str(len(vectors)) for vectors in sets)
    require(
        min(len(vectors) for vectors in sets) >= least,
        f"The {what} needs at least {least} pictures in each set, but got {counts}.",
    )
    widths = " and ".join(str(vectors.shape[1]) for vectors in sets)
    require(
        len({vectors.shape[1] for vectors in sets}) == 1 and sets[0].shape[1] > 0,
        f"The {what} needs features of one length, but got {widths}. Use the same extractor for both sets.",
    )
    bad = sum(int((~vectors.isfinite()).any(1).sum()) for vectors in sets)
    require(
        bad == 0,
        f"The {what} needs finite features, but {bad} pictures have NaN or infinity. Check the pictures and "
        f"the weights of the extractor.",
    )
    return [in_float64(vectors) for vectors in sets]


def rows_at_once(rows: int, columns: int, entries: int = MAX_ENTRIES) -> Iterator[slice]:
    """Slices of the rows, each for a table of at most `entries` entries (of one row, if that has more)."""
    step = max(entries // max(columns, 1), 1)
    return (slice(first, first + step) for first in range(0, rows, step))


def distances(points: Vectors, pool: OtherVectors) -> Table:
    """Euclidean distances by |x|^2 + |y|^2 - 2 x.y: fast, with errors of about 1e-8 of the vectors' length."""
    return torch.cdist(points, pool, compute_mode="use_mm_for_euclid_dist")


def nearest(points: Vectors, pool: OtherVectors, count: int) -> Neighbours:
    """Nearest neighbours of each point: `count` vectors of the pool, or all if it has fewer; float64.

    Their distances are computed again from the differences, so that the distance of equal vectors is 0.
    """
    count = min(count, len(pool))
    found: list[Neighbours] = []
    # A row needs count * dimensions entries for its differences, and one for each distance to the pool.
    for rows in rows_at_once(len(points), max(len(pool), count * points.shape[1])):
        block = points[rows]
        indices = distances(block, pool).topk(count, largest=False).indices
        exact, order = (block[:, None] - pool[indices]).square().sum(2).sqrt().sort(dim=1)
        found.append(Neighbours(exact, indices.gather(1, order)))
    if not found:
        return Neighbours(
            points.new_zeros(0, count), torch.zeros(0, count, dtype=torch.int64, device=points.device)
        )
    return Neighbours(
        torch.cat([block.distances for block in found]), torch.cat([block.indices for block in found])
    )
