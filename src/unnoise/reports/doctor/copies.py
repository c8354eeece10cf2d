"""Exact and near copies among pictures, and copies across training and held-out pictures.

A picture that occurs twice counts twice in training, and a held-out picture with a copy in training makes
memorisation look like quality.

Exact copies have the same pixels after resizing. Near copies have thumbnail vectors (see `thumbnails`) within a
limit: a tenth of the median distance of two pictures, and at most 0.13, so that similar pictures, such as
portraits, are not copies of each other. Of 1,797 digits no two are that near. Blank pictures have nothing to
compare and count as exact copies only.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from unnoise.data.batches import Split
from unnoise.reports.doctor.neighbours import Block, DisjointSets, Places, candidate_blocks
from unnoise.reports.doctor.thumbnails import Vectors, thumbnail_vectors

LARGEST_LIMIT = 0.13
"""Unrelated pictures are 1.4 apart. Of 300 crops of photographs, the median was 0.08 from its original when
saved as JPEG of quality 75, and 0.04 at half its size; 99 % of either were within 0.135."""
_PART_OF_MEDIAN = 1 / 10
_FEWEST_FOR_MEDIAN = 20
_SAMPLE = 1024
_MOST_SEARCHED = 200_000
_AXES = 16
_LEAST_CONTRAST = 0.24
"""Length of the vector of a picture with a standard deviation of 2 grey levels."""


@dataclass(frozen=True, eq=False)
class Copies:
    """The pictures that occur more than once."""

    count: int
    """How many pictures there are."""
    searched: int
    """How many of them, the first, were searched for near copies."""
    exact: tuple[tuple[int, ...], ...]
    """Indices of pictures with the same pixels, the largest groups first."""
    near: tuple[tuple[int, ...], ...]
    """Indices of similar pictures, with one of each exact group; the largest groups first."""
    limit: float
    """The largest distance of two near copies."""
    comparisons: int
    """How many pairs were compared."""
    colourful: NDArray[np.bool_]
    """(searched,): whether each picture has colours."""

    @property
    def exact_copies(self) -> int:
        """How many pictures are superfluous exact copies."""
        return sum(len(group) - 1 for group in self.exact)

    @property
    def near_copies(self) -> int:
        """How many more are superfluous near copies."""
        return sum(len(group) - 1 for group in self.near)

    def held_out_copies(self, parts: Split) -> int:
        """How many held-out pictures have an exact or near copy among the training pictures."""
        groups = DisjointSets(self.count)
        for group in (*self.exact, *self.near):
            groups.join(np.array(group[1:]), np.full(len(group) - 1, group[0]))
        return int(np.isin(groups.roots(parts.held_out), groups.roots(parts.training)).sum())


def find_copies(
    pixels: NDArray[np.uint8],
    *,
    most_searched: int = _MOST_SEARCHED,
    progress: Callable[[float], object] = lambda _: None,
) -> Copies:
    """Finds exact and near copies among pictures (N, H, W, C).

    Args:
        pixels: uint8.
        most_searched: near copies are searched among so many, the first, which bounds memory and time.
        progress: called with the part of the work that is done.
    """
    exact, first = _exact(pixels)
    searched = min(len(pixels), most_searched)
    found = thumbnail_vectors(pixels[:searched])
    progress(0.5)
    kept = np.flatnonzero(first[:searched] & (_lengths(found.vectors) >= _LEAST_CONTRAST))
    limit = _limit(found.vectors, kept)
    near, comparisons = _near(found.vectors, kept, limit, lambda part: progress(0.5 + part / 2))
    progress(1.0)
    return Copies(len(pixels), searched, exact, near, limit, comparisons, found.colourful)


def _exact(pixels: NDArray[np.uint8]) -> tuple[tuple[tuple[int, ...], ...], NDArray[np.bool_]]:
    """The groups of equal pictures, and which pictures are the first of their group."""
    places: defaultdict[bytes, list[int]] = defaultdict(list)
    for place, picture in enumerate(pixels):
        places[blake2b(np.ascontiguousarray(picture).data, digest_size=16).digest()].append(place)
    first = np.zeros(len(pixels), dtype=np.bool_)
    first[[group[0] for group in places.values()]] = True
    return _largest_first(list(places.values())), first


def _near(
    vectors: Vectors, kept: Places, limit: float, progress: Callable[[float], object]
) -> tuple[tuple[tuple[int, ...], ...], int]:
    if len(kept) < 2:
        return (), 0
    axes = _principal_axes(vectors, kept)
    points = np.concatenate([_rows(vectors, some) @ axes for some in _chunks(kept)])
    groups, comparisons, done = DisjointSets(len(vectors)), 0, 0
    for block in candidate_blocks(points, limit):
        comparisons += block.comparisons
        groups.join(*_near_pairs(vectors, points, kept, block, limit))
        if block.others is None:
            done += len(block.some)
            progress(done / len(kept))
    roots = groups.roots(kept)
    order = np.argsort(roots, kind="stable")
    cuts = np.flatnonzero(np.diff(roots[order])) + 1
    return _largest_first([group.tolist() for group in np.split(kept[order], cuts)]), comparisons


def _near_pairs(
    vectors: Vectors, points: NDArray[np.float32], kept: Places, block: Block, limit: float
) -> tuple[Places, Places]:
    """The pairs of a block within the limit: first by a few principal axes, then by all numbers."""
    some, others = block.some, block.some if block.others is None else block.others
    close = _squares(points[some], points[others]) <= limit**2 + 1e-4
    if block.others is None:
        close = np.triu(close, 1)
    rows, columns = np.flatnonzero(close.any(1)), np.flatnonzero(close.any(0))
    if not len(rows):
        return rows, rows
    some, others = kept[some[rows]], kept[others[columns]]
    close = close[np.ix_(rows, columns)]
    close &= _squares(_rows(vectors, some), _rows(vectors, others)) <= limit**2
    left, right = np.nonzero(close)
    return some[left], others[right]


def _limit(vectors: Vectors, kept: Places) -> float:
    """A tenth of the median distance in a sample of pairs, and at most 0.13."""
    if len(kept) < _FEWEST_FOR_MEDIAN:
        return LARGEST_LIMIT
    sample = _sample(vectors, kept, _SAMPLE)
    apart = _squares(sample, sample)[np.triu_indices(len(sample), 1)]
    return min(LARGEST_LIMIT, _PART_OF_MEDIAN * math.sqrt(np.median(apart)))


def _principal_axes(vectors: Vectors, kept: Places) -> NDArray[np.float32]:
    """The first principal axes of a sample: orthogonal, so distances along them are never longer."""
    sample = _sample(vectors, kept, 4 * _SAMPLE)
    centred = sample - sample.mean(0)
    _, directions = np.linalg.eigh(centred.T @ centred)
    axes: NDArray[np.float32] = directions[:, -_AXES:]
    return axes


def _sample(vectors: Vectors, kept: Places, count: int) -> NDArray[np.float32]:
    return _rows(vectors, np.random.default_rng(0).permutation(kept)[:count])


def _squares(some: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.float32]:
    """Squared distances, (n, m)."""
    own, theirs = np.square(some).sum(1), np.square(others).sum(1)
    squares: NDArray[np.float32] = np.maximum(own[:, None] + theirs - 2 * some @ others.T, 0)
    return squares


def _rows(vectors: Vectors, places: Places) -> NDArray[np.float32]:
    return vectors[places].astype(np.float32)


def _chunks(places: Places, size: int = 4096) -> list[Places]:
    return [places[first : first + size] for first in range(0, len(places), size)]


def _lengths(vectors: Vectors) -> NDArray[np.float32]:
    places = np.arange(len(vectors))
    return np.concatenate([np.linalg.norm(_rows(vectors, some), axis=1) for some in _chunks(places)])


def _largest_first(groups: Sequence[Sequence[int]]) -> tuple[tuple[int, ...], ...]:
    several = [tuple(group) for group in groups if len(group) > 1]
    return tuple(sorted(several, key=lambda group: (-len(group), group)))
