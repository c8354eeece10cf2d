r"""95 % confidence intervals: how far an estimate would vary with other pictures of the same kind.

Shares get Wilson's interval, which holds near 0 and 1 too (Wilson, 1927; Brown, Cai and DasGupta, 2001):

    (p + z^2 / 2n +- z sqrt(p (1 - p) / n + z^2 / 4n^2)) / (1 + z^2 / n),        z = 1.96
"""

import math
from typing import NamedTuple

Z = 1.959963984540054
"""Standard deviations around the mean within which 95 % of a normal distribution lie."""


class ConfidenceInterval(NamedTuple):
    """Estimate with the two ends of its 95 % confidence interval."""

    value: float
    low: float
    high: float


def normal_interval(value: float, variance: float) -> ConfidenceInterval:
    """Interval of a normally distributed estimate: the value +- 1.96 standard deviations."""
    reach = Z * math.sqrt(max(variance, 0.0))
    return ConfidenceInterval(value, value - reach, value + reach)


def share_interval(share: float, count: float, variance: float | None = None) -> ConfidenceInterval:
    """Wilson's interval of a share of `count` pictures.

    Where `variance` is given, `count` is replaced with the n for which p (1 - p) / n equals it. At a share of 0
    or 1 there is no such n, and `count` stays.
    """
    if variance:
        count = share * (1 - share) / variance or count
    middle, room = share + Z**2 / (2 * count), 1 + Z**2 / count
    reach = Z * math.sqrt(max(share * (1 - share), 0.0) / count + (Z / (2 * count)) ** 2)
    # At 0 and 1 rounding may leave the share slightly outside.
    return ConfidenceInterval(
        share, max(min((middle - reach) / room, share), 0.0), min(max((middle + reach) / room, share), 1.0)
    )
