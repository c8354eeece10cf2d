"""Reference pictures: the real pictures that samples of a run are compared with."""

from typing import Literal, NamedTuple, TypeAlias

import numpy as np

from unnoise.data import ImageSet
from unnoise.data.batches import Indices
from unnoise.runs.config import RunConfig
from unnoise.utils.errors import require

ReferenceSplit: TypeAlias = Literal["held-out", "training", "all"]
"""Which real pictures samples are compared with."""

ENOUGH_PICTURES = 50
"""Number of held-out pictures from which they are preferred to training pictures as the reference."""

MIN_PICTURES = 12
"""Number of pictures below which nothing is measured: each half of them must have 5 neighbours to each."""

MAX_PICTURES = 10_000
"""Number of pictures of a split that are used, at most: more take time, but hardly narrow an interval."""


def unseen_pictures(config: RunConfig, images: ImageSet, num_images: int, seed: int) -> Indices:
    """Up to `num_images` random pictures that the run was not trained on.

    Of the run's own pictures these are held-out ones, of other pictures any.

    Raises:
        UnnoiseError: when there are none.
    """
    require(num_images >= 1, f"Bits/dim need at least 1 picture, but got --num-images {num_images}: try 256.")
    unseen = config.split(images).held_out
    require(
        len(unseen) > 0,
        "The run held out no pictures, so there are none that it was not trained on: name other pictures after "
        "the run, or train with --held-out.",
    )
    return _random_subset(unseen, num_images, [seed, 4])


class ReferencePictures(NamedTuple):
    """Real pictures that samples are compared with.

    `training` and `held_out` are at most `limit` of each, in order; `split` says which of them the scores
    compare with. Copies are searched for with both.
    """

    split: ReferenceSplit
    training: Indices
    held_out: Indices
    notes: tuple[str, ...] = ()
    """Notes on this choice for the reader of the scores, one sentence each."""

    @property
    def indices(self) -> Indices:
        """The pictures that the scores compare with."""
        match self.split:
            case "held-out":
                return self.held_out
            case "training":
                return self.training
            case "all":
                return self.all_indices

    @property
    def all_indices(self) -> Indices:
        """All pictures whose features are needed, training first."""
        return np.concatenate([self.training, self.held_out])


def choose_references(
    config: RunConfig,
    images: ImageSet,
    wanted: ReferenceSplit = "held-out",
    *,
    limit: int = MAX_PICTURES,
    seed: int = 0,
) -> ReferencePictures:
    """Chooses the reference pictures; random ones where a split has more than `limit`.

    Raises:
        UnnoiseError: where there are too few for any score.
    """
    parts = config.split(images)
    training, held_out = (_random_subset(part, limit, [seed, 5]) for part in parts)
    chosen = ReferencePictures(wanted, training, held_out)
    unseen, trained = len(held_out), len(training)
    if wanted == "held-out" and unseen < ENOUGH_PICTURES and trained > unseen:
        sentence = (
            f"The samples are compared with training pictures, because there are only {unseen} held-out ones "
            f"(at least {ENOUGH_PICTURES} are needed). Copies of training pictures get good scores, too: see "
            "the memorisation report."
        )
        chosen = chosen._replace(split="training", notes=(sentence,))
    require(
        wanted != "training" or trained > 0,
        f"--split training needs the pictures that the run was trained on, but {images.source} holds others: "
        "leave the option out.",
    )
    count = len(chosen.indices)
    require(
        count >= MIN_PICTURES,
        f"Scores need at least {MIN_PICTURES} real pictures to compare with, but there are {count}: name more "
        "pictures after the run.",
    )
    if count < ENOUGH_PICTURES:
        sentence = f"With only {count} real pictures, the scores are uncertain: mind their intervals."
        chosen = chosen._replace(notes=(*chosen.notes, sentence))
    if trained < len(parts.training):
        sentence = (
            f"To save time, the features of {trained:,} of the {len(parts.training):,} training pictures were "
            "used."
        )
        chosen = chosen._replace(notes=(*chosen.notes, sentence))
    return chosen


def every_kth(indices: Indices, count: int) -> Indices:
    """At most `count` of these indices: each k-th, with the smallest k for that."""
    step = -(-len(indices) // count)
    return indices[:: max(1, step)]


def _random_subset(indices: Indices, count: int, seed: list[int]) -> Indices:
    """At most `count` random indices, in order."""
    chosen = np.random.default_rng(seed).permutation(len(indices))[:count]
    return np.sort(indices[chosen])
