r"""A number measured on some pictures comes with the interval in which it would lie on other pictures.

Shares get Wilson's interval, which stays honest at 0 and 1 (Wilson, 1927; Brown, Cai and DasGupta, 2001):

    (p + z^2 / 2n +- z sqrt(p (1 - p) / n + z^2 / 4n^2)) / (1 + z^2 / n),        z = 1.96
"""

import math
from typing import NamedTuple

Z = 1.959963984540054
"""95 % of a normal distribution lie within so many standard deviations."""


class Interval(NamedTuple):
    """An estimate, and the ends of its 95 % interval."""

    value: float
    low: float
    high: float


def normal_interval(value: float, variance: float) -> Interval:
    """The value of an estimate of that variance, +- 1.96 standard deviations."""
    reach = Z * math.sqrt(max(variance, 0.0))
    return Interval(value, value - reach, value + reach)


def share_interval(share: float, count: float, variance: float | None = None) -> Interval:
    """Wilson's interval of a share of `count` pictures.

    An estimate of another variance than a share's, p (1 - p) / n, counts as the n at which the two are equal.
    At a share of 0 or 1 there is no such n, and `count` stays.
    """
    if variance:
        count = share * (1 - share) / variance or count
    middle, room = share + Z**2 / (2 * count), 1 + Z**2 / count
    reach = Z * math.sqrt(max(share * (1 - share), 0.0) / count + (Z / (2 * count)) ** 2)
    # Rounding may leave the share itself a hair outside, at 0 and 1.
    return Interval(
        share, max(min((middle - reach) / room, share), 0.0), min(max((middle + reach) / room, share), 1.0)
    )
