r"""Class balance: pictures per class, and the effective number of classes, exp(entropy).

effective = exp(-sum p ln p),    p = the share of each class

With classes of one size it is their number; with a single class it is 1.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from unnoise.utils.errors import require


@dataclass(frozen=True)
class Balance:
    """The number of pictures of each class, in order.

    Raises:
        UnnoiseError: if there are no pictures.
    """

    counts: Mapping[str, int]

    def __post_init__(self) -> None:
        require(
            sum(self.counts.values()) > 0,
            "There are no pictures in any class. Their balance needs at least one.",
        )

    @property
    def smallest(self) -> str:
        """The class with the fewest pictures."""
        return min(self.counts, key=lambda name: self.counts[name])

    @property
    def largest(self) -> str:
        """The class with the most pictures."""
        return max(self.counts, key=lambda name: self.counts[name])

    @property
    def ratio(self) -> float:
        """Pictures of the largest class over those of the smallest; infinite if that is empty."""
        least = self.counts[self.smallest]
        return self.counts[self.largest] / least if least else math.inf

    @property
    def effective(self) -> float:
        """The effective number of classes: so many classes of one size have the same entropy."""
        total = sum(self.counts.values())
        shares = [count / total for count in self.counts.values() if count]
        return math.exp(-sum(share * math.log(share) for share in shares))

    def below(self, fewest: int) -> tuple[str, ...]:
        """The classes with fewer than `fewest` pictures."""
        return tuple(name for name, count in self.counts.items() if count < fewest)
