"""Power laws: a straight line through the logarithms of cost and size, fitted by least squares."""

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np


class PowerLaw(NamedTuple):
    """value = factor * size^slope."""

    slope: float
    factor: float

    def at(self, size: float) -> float:
        """The value at this size."""
        return float(self.factor * size**self.slope)


def fit(values: Mapping[int, float]) -> PowerLaw:
    """The power law of values by size: the least-squares line of log(value) over log(size)."""
    slope, intercept = np.polyfit(np.log(list(values)), np.log(list(values.values())), 1)
    return PowerLaw(float(slope), math.exp(intercept))
