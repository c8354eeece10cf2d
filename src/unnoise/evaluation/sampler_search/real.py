"""The real pictures that samples are held against: those the run has not seen, where it held out enough."""

from typing import NamedTuple

import numpy as np

from unnoise.data import ImageSet
from unnoise.data.batches import Indices, split
from unnoise.runs.config import RunConfig
from unnoise.utils.errors import require

_FEW, _MOST = 50, 1000


class Real(NamedTuple):
    """Which pictures are compared with, which an extractor may learn, and the first in words."""

    compared: Indices
    training: Indices
    words: str


def real_pictures(config: RunConfig, images: ImageSet, seed: int = 0) -> Real:
    """At most 1,000 held-out pictures; of fewer than 50, or of other pictures than the run's, all of them.

    Raises:
        UnnoiseError: for a single picture.
    """
    everything = np.arange(len(images))
    require(len(images) >= 2, f"Samples are compared with 2 pictures or more, but {images.source} holds one.")
    training, chosen, words = everything, everything, f"of {images.source}"
    if images.fingerprint == config.data.fingerprint:
        training, held_out = split(len(images), config.data.held_out, config.seed)
        enough = len(held_out) >= _FEW
        chosen = held_out if enough else everything
        words = f"held out of {images.source}" if enough else f"{words}, trained on, since few were held out"
    some = np.sort(np.random.default_rng([seed, 6]).permutation(chosen)[:_MOST])
    return Real(some, training, f"{len(some):,} {words}")
