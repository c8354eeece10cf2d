"""A run is judged by real pictures: those that it has not seen, wherever enough of them were held out."""

from typing import Literal, NamedTuple, TypeAlias

import numpy as np

from unnoise.data import ImageSet
from unnoise.data.batches import Indices, Split, split
from unnoise.runs.config import RunConfig
from unnoise.utils.errors import require

Compared: TypeAlias = Literal["held-out", "training", "all"]
"""Which real pictures samples are compared with."""

ENOUGH = 50
"""Fewer pictures than this tell too little of a distribution."""

LEAST = 12
"""Of fewer pictures nothing is measured: halves of 6 are the smallest with 5 neighbours for each."""

MOST = 10_000
"""More pictures hardly narrow an interval, but each of them takes time."""


def known_split(config: RunConfig, images: ImageSet) -> Split:
    """Which of these pictures the run was trained on, and which it has never seen: of any others all."""
    if images.fingerprint == config.data.fingerprint:
        return split(len(images), config.data.held_out, config.seed)
    return Split(np.arange(0), np.arange(len(images)))


def judges(config: RunConfig, images: ImageSet, num_images: int, seed: int) -> Indices:
    """Up to `num_images` pictures that the run has not seen, at random.

    Of the run's own pictures those that were held out; of any others all.

    Raises:
        UnnoiseError: when there are none.
    """
    require(num_images >= 1, f"A run is judged by at least 1 picture, but {num_images} were asked for.")
    unseen = known_split(config, images).held_out
    require(
        len(unseen) > 0,
        "A run is judged by pictures that it was not trained on, but this one held none out: "
        "name other pictures after it, or train with --held-out.",
    )
    return _some(unseen, num_images, [seed, 4])


class Panel(NamedTuple):
    """The real pictures that samples are compared with.

    `training` and `held_out` are at most `limit` of each, in order; `compared` says which of them are the
    reference of the scores. Nearest neighbours are looked for in both.
    """

    compared: Compared
    training: Indices
    held_out: Indices
    notes: tuple[str, ...] = ()
    """What a reader of the numbers has to know, a sentence each."""

    @property
    def references(self) -> Indices:
        """The pictures that the samples should resemble."""
        match self.compared:
            case "held-out":
                return self.held_out
            case "training":
                return self.training
            case "all":
                return np.concatenate([self.training, self.held_out])

    @property
    def everything(self) -> Indices:
        """Each picture once, training first: what features are needed of."""
        return np.concatenate([self.training, self.held_out])


def panel(
    config: RunConfig, images: ImageSet, wanted: Compared = "held-out", *, limit: int = MOST, seed: int = 0
) -> Panel:
    """Chooses the pictures to compare samples with, at random where there are more than `limit` of a kind.

    Raises:
        UnnoiseError: where there are too few for any score.
    """
    parts = known_split(config, images)
    training, held_out = (_some(part, limit, [seed, 5]) for part in parts)
    chosen = Panel(wanted, training, held_out)
    unseen, trained = len(held_out), len(training)
    if wanted == "held-out" and unseen < ENOUGH and trained > unseen:
        sentence = (
            f"The samples are compared with the training pictures, because {unseen} held-out ones are too few "
            f"({ENOUGH} at least): copies of training pictures score well, too, so mind the memorisation "
            "report."
        )
        chosen = chosen._replace(compared="training", notes=(sentence,))
    require(
        wanted != "training" or trained > 0,
        f"--split training compares with pictures that the run was trained on, but {images.source} holds "
        "others: leave the option out.",
    )
    count = len(chosen.references)
    require(
        count >= LEAST,
        f"Scores need at least {LEAST} real pictures to compare with, but there are {count}: name more of them "
        "after the run.",
    )
    if count < ENOUGH:
        sentence = f"{count} real pictures tell little of what they were drawn from: mind the intervals."
        chosen = chosen._replace(notes=(*chosen.notes, sentence))
    if trained < len(parts.training):
        sentence = (
            f"For the sake of time, {trained:,} of {len(parts.training):,} training pictures were looked at by "
            "their features."
        )
        chosen = chosen._replace(notes=(*chosen.notes, sentence))
    return chosen


def spread(indices: Indices, most: int) -> Indices:
    """At most so many of them, evenly spread."""
    step = -(-len(indices) // most)
    return indices[:: max(1, step)]


def _some(indices: Indices, most: int, seed: list[int]) -> Indices:
    chosen = np.random.default_rng(seed).permutation(len(indices))[:most]
    return np.sort(indices[chosen])
