r"""Classes are balanced where as many count as there are: exp(entropy) says how many do.

effective = exp(-sum p ln p),    p = the share of each class
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from unnoise.utils.errors import require


@dataclass(frozen=True)
class Balance:
    """How many pictures each class has, in order.

    Raises:
        UnnoiseError: without any picture.
    """

    counts: Mapping[str, int]

    def __post_init__(self) -> None:
        require(
            sum(self.counts.values()) > 0,
            "Classes can be weighed once they have pictures, but there are none: count some first.",
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
        """The largest class over the smallest; infinite where one is empty."""
        least = self.counts[self.smallest]
        return self.counts[self.largest] / least if least else math.inf

    @property
    def effective(self) -> float:
        """The number of classes of one size that would be as even."""
        total = sum(self.counts.values())
        shares = [count / total for count in self.counts.values() if count]
        return math.exp(-sum(share * math.log(share) for share in shares))

    def below(self, fewest: int) -> tuple[str, ...]:
        """The classes with fewer pictures than this."""
        return tuple(name for name, count in self.counts.items() if count < fewest)
