"""All pairs within a distance are found by cutting space in two, and hardly ever by comparing all with all.

A set is halved across its widest side. Pairs within a half are found alike; a pair with one point in each must
lie in the two strips along the cut, which are halved again. What is too far from the other strip's box is
dropped on the way, so that the work follows the number of pairs that are near rather than the number of all.
(The epsilon-kdB join of Shim, Srikant and Agrawal, 1997, with cuts at the median.)
"""

from collections.abc import Generator
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

Points: TypeAlias = NDArray[np.float32]
"""(N, k)"""

Places: TypeAlias = NDArray[np.int64]
"""Rows of the points, (n,)."""

_BLOCK = 512


class Block(NamedTuple):
    """Points to compare: each of the first with each of the others, or one another where there are none."""

    some: Places
    others: Places | None

    @property
    def comparisons(self) -> int:
        """How many pairs it holds."""
        count = len(self.some)
        return count * (count - 1) // 2 if self.others is None else count * len(self.others)


def blocks(points: Points, radius: float, *, block: int = _BLOCK) -> Generator[Block, None, None]:
    """Blocks in which each pair of points within `radius` of one another lies exactly once, among others.

    Distances are Euclidean, (N, k). A block holds at most `block` points on each side.
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
        some, others = _facing(points, some, others, radius), _facing(points, others, some, radius)
        if not len(some) or not len(others):
            continue
        if max(len(some), len(others)) <= block:
            yield Block(some, others)
        elif len(some) >= len(others):
            waiting += [Block(half, others) for half in _halves(points, some)]
        else:
            waiting += [Block(some, half) for half in _halves(points, others)]


def _halves(points: Points, places: Places) -> tuple[Places, Places]:
    """Cut across the side along which they spread most."""
    own = points[places]
    along = own[:, int(own.std(0).argmax())]
    order = np.argpartition(along, len(places) // 2)
    return places[order[: len(places) // 2]], places[order[len(places) // 2 :]]


def _facing(points: Points, some: Places, others: Places, radius: float) -> Places:
    """Those that are within `radius` of the box around the others."""
    if not len(others):
        return others
    box = points[others]
    own = points[some]
    # A box is a little wider than it is, so that rounding loses no pair.
    reach = radius * (1 + 1e-4) + 1e-6
    facing: Places = some[((own >= box.min(0) - reach) & (own <= box.max(0) + reach)).all(1)]
    return facing


class Groups:
    """Which points belong together: joined two by two, found whole."""

    def __init__(self, count: int) -> None:
        self._parents = np.arange(count)

    def join(self, some: Places, others: Places) -> None:
        """The i-th of the first belongs to the i-th of the others."""
        while True:
            first, second = self.roots(some), self.roots(others)
            apart = first != second
            if not apart.any():
                return
            first, second = first[apart], second[apart]
            np.minimum.at(self._parents, np.maximum(first, second), np.minimum(first, second))

    def roots(self, places: Places) -> Places:
        """The smallest member of each one's group."""
        found = self._parents[places]
        while ((above := self._parents[found]) != found).any():
            found = above
        self._parents[places] = found
        return found
