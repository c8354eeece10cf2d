"""Search for all pairs of points within a radius, without comparing all pairs (similarity join).

The points are halved across their widest side, again and again. Near pairs within a half are found likewise; a
near pair with one point in each half lies in the two strips along the cut, which are halved again. Points too
far from the other strip's bounding box are dropped on the way, so the work follows the number of near pairs
rather than that of all pairs. This is the epsilon-kdB join of Shim, Srikant and Agrawal (1997) with cuts at the
median.
"""

from collections.abc import Generator
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

Points: TypeAlias = NDArray[np.float32]
"""(N, k)"""

Places: TypeAlias = NDArray[np.int64]
"""Row indices of points, (n,)."""

_BLOCK = 512


class Block(NamedTuple):
    """Points to compare: each of `some` with each of `others`, or, if None, all pairs among `some`."""

    some: Places
    others: Places | None

    @property
    def comparisons(self) -> int:
        """How many pairs the block holds."""
        count = len(self.some)
        return count * (count - 1) // 2 if self.others is None else count * len(self.others)


def candidate_blocks(points: Points, radius: float, *, block: int = _BLOCK) -> Generator[Block, None, None]:
    """Blocks of candidates that together hold each pair of points within `radius` exactly once.

    Distances are Euclidean, (N, k). A block has at most `block` points on each side.
    """
    waiting = [Block(np.arange(len(points)), None)]
    while waiting:
        some, others = waiting.pop()
        if others is None:
            if len(some) <= block:
                yield Block(some, None)
                continue
            left, right = _halves(points, some)
            waiting += [Block(left, None), Block(right, None), Block(left, right)]
            continue
        some, others = _near_box(points, some, others, radius), _near_box(points, others, some, radius)
        if not len(some) or not len(others):
            continue
        if max(len(some), len(others)) <= block:
            yield Block(some, others)
        elif len(some) >= len(others):
            waiting += [Block(half, others) for half in _halves(points, some)]
        else:
            waiting += [Block(some, half) for half in _halves(points, others)]


def _halves(points: Points, places: Places) -> tuple[Places, Places]:
    """Halves the points at the median of the coordinate with the largest standard deviation."""
    own = points[places]
    along = own[:, int(own.std(0).argmax())]
    order = np.argpartition(along, len(places) // 2)
    return places[order[: len(places) // 2]], places[order[len(places) // 2 :]]


def _near_box(points: Points, some: Places, others: Places, radius: float) -> Places:
    """The points of `some` within `radius` of the bounding box of `others`."""
    if not len(others):
        return others
    box = points[others]
    own = points[some]
    # The box is widened a little, so that rounding loses no pair.
    reach = radius * (1 + 1e-4) + 1e-6
    near: Places = some[((own >= box.min(0) - reach) & (own <= box.max(0) + reach)).all(1)]
    return near


class DisjointSets:
    """Disjoint sets of points (union-find)."""

    def __init__(self, count: int) -> None:
        self._parents = np.arange(count)

    def join(self, some: Places, others: Places) -> None:
        """Joins the set of `some[i]` with that of `others[i]`, for each i."""
        while True:
            first, second = self.roots(some), self.roots(others)
            apart = first != second
            if not apart.any():
                return
            first, second = first[apart], second[apart]
            np.minimum.at(self._parents, np.maximum(first, second), np.minimum(first, second))

    def roots(self, places: Places) -> Places:
        """The smallest member of the set of each point."""
        found = self._parents[places]
        while ((above := self._parents[found]) != found).any():
            found = above
        self._parents[places] = found
        return found
