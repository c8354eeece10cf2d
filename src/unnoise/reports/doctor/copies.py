"""A picture that is there twice counts twice, and one that is also held out hides what was learned by heart.

Exact copies have the same pixels after fitting. Near ones have vectors (see `looks`) at most a limit apart: a
tenth of the median distance of two pictures, and at most 0.13, so that pictures which are all alike, such as
portraits, don't count as copies of each other. Of 1,797 digits no two are that near. Blank pictures, which have
nothing to compare, count as exact copies only.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from unnoise.data.batches import Split
from unnoise.reports.doctor.neighbours import Block, Groups, Places, blocks
from unnoise.reports.doctor.thumbnails import Vectors, looks

LARGEST_LIMIT = 0.13
"""Pictures with nothing in common are 1.4 apart. Of 300 pieces of photographs, saved as JPEG of quality 75, the
median was 0.08 from its original, at half its size 0.04, and 99 % of either at most 0.135."""
_PART_OF_USUAL = 1 / 10
_TELLING = 20
_SAMPLED = 1024
_MOST_SEARCHED = 200_000
_AXES = 16
_CALMEST = 0.24
"""The length of a vector whose picture spreads over 2 grey levels."""


@dataclass(frozen=True, eq=False)
class Copies:
    """Which pictures are there more than once."""

    count: int
    """How many pictures there are."""
    searched: int
    """Among how many of them, the first, near copies were looked for."""
    exact: tuple[tuple[int, ...], ...]
    """Places of pictures with the same pixels, the largest groups first."""
    near: tuple[tuple[int, ...], ...]
    """Places of pictures that are alike, one of each exact group; the largest groups first."""
    limit: float
    """How near that is."""
    comparisons: int
    """How many pairs were looked at."""
    colourful: NDArray[np.bool_]
    """(searched,): which pictures have colours."""

    @property
    def exact_copies(self) -> int:
        """How many pictures could be left out without losing one."""
        return sum(len(group) - 1 for group in self.exact)

    @property
    def near_copies(self) -> int:
        """How many more could be left out, with a near one staying."""
        return sum(len(group) - 1 for group in self.near)

    def straddling(self, parts: Split) -> int:
        """How many held-out pictures have a copy, exact or near, among those that are trained on."""
        groups = Groups(self.count)
        for group in (*self.exact, *self.near):
            groups.join(np.array(group[1:]), np.full(len(group) - 1, group[0]))
        return int(np.isin(groups.roots(parts.held_out), groups.roots(parts.training)).sum())


def find_copies(
    pixels: NDArray[np.uint8],
    *,
    most_searched: int = _MOST_SEARCHED,
    progress: Callable[[float], object] = lambda _: None,
) -> Copies:
    """Looks for copies among pictures (N, H, W, C); `progress` hears which part of the work is done.

    Near ones are looked for among the first `most_searched`, which bounds memory and time.
    """
    exact, first = _exact(pixels)
    searched = min(len(pixels), most_searched)
    found = looks(pixels[:searched])
    progress(0.5)
    kept = np.flatnonzero(first[:searched] & (_lengths(found.vectors) >= _CALMEST))
    limit = _limit(found.vectors, kept)
    near, comparisons = _near(found.vectors, kept, limit, lambda part: progress(0.5 + part / 2))
    progress(1.0)
    return Copies(len(pixels), searched, exact, near, limit, comparisons, found.colourful)


def _exact(pixels: NDArray[np.uint8]) -> tuple[tuple[tuple[int, ...], ...], NDArray[np.bool_]]:
    """The groups, and which pictures are the first of their kind."""
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
    axes = _axes(vectors, kept)
    points = np.concatenate([_rows(vectors, some) @ axes for some in _chunks(kept)])
    groups, comparisons, done = Groups(len(vectors)), 0, 0
    for block in blocks(points, limit):
        comparisons += block.comparisons
        groups.join(*_alike(vectors, points, kept, block, limit))
        if block.others is None:
            done += len(block.some)
            progress(done / len(kept))
    roots = groups.roots(kept)
    order = np.argsort(roots, kind="stable")
    cuts = np.flatnonzero(np.diff(roots[order])) + 1
    return _largest_first([group.tolist() for group in np.split(kept[order], cuts)]), comparisons


def _alike(
    vectors: Vectors, points: NDArray[np.float32], kept: Places, block: Block, limit: float
) -> tuple[Places, Places]:
    """The pairs of a block that are within the limit: first along a few axes, then in full."""
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
    """A part of what is usual among these pictures, from a sample of pairs."""
    if len(kept) < _TELLING:
        return LARGEST_LIMIT
    sample = _sample(vectors, kept, _SAMPLED)
    apart = _squares(sample, sample)[np.triu_indices(len(sample), 1)]
    usual = math.sqrt(np.median(apart))
    return min(LARGEST_LIMIT, _PART_OF_USUAL * usual)


def _axes(vectors: Vectors, kept: Places) -> NDArray[np.float32]:
    """The few orthogonal directions in which a sample spreads most: distances along them are never longer."""
    sample = _sample(vectors, kept, 4 * _SAMPLED)
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
