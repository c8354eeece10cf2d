"""Chunks of pictures: so many that their values fit into memory, whatever their size."""

import math
from collections.abc import Sequence


def pictures_in(values: int, shape: Sequence[int]) -> int:
    """How many pictures of this shape have at most so many values together; at least 1."""
    return max(1, values // math.prod(shape))
