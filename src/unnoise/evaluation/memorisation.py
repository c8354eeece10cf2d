"""Memorisation report: copies of training pictures among samples, by features and by pixels."""

import math
from typing import NamedTuple, TypeAlias

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor
from torch.nn import functional

from unnoise import pictures
from unnoise.data.batches import Indices, Pictures, Split, in_chunks
from unnoise.diffusion.tensors import Images, Pixels, SomePixels
from unnoise.evaluation.metrics import CopyDetection, detect_copies
from unnoise.evaluation.reference_pictures import MAX_PICTURES, ReferencePictures, every_kth
from unnoise.evaluation.time_budget import COPIES_SHARE, TimeBudget
from unnoise.utils.chunks import pictures_in

Features: TypeAlias = Float[Tensor, "_ _"]

MAX_SAMPLES = 2_000
"""Samples whose neighbours are searched; a share of them is known to 2 %."""

MAX_COPIES = 0.02
"""Share of copies above which (at the lower end of its interval) a run copies; chance gives 1 in 200."""

MAX_INDEX = 0.6
"""Memorisation index (`CopyDetection.index`) above which a run leans on its training pictures."""

SHOWN_PAIRS = 12
"""Pairs in the picture of the nearest neighbours."""

MAX_SIDE = 32
"""Side to which pictures are shrunk before their pixels are compared: finer detail only adds noise."""

_CAPTION = (
    "Below each pair: its distance, in units of the usual distance of an unseen picture to the training set."
)
_VALUES = 2**24
"""Values of the pictures that are shrunk at once."""
_FEWEST = 500


class MemorisationReport(NamedTuple):
    """Verdict on copies of training pictures, and the results of copy detection by features and by pixels."""

    verdict: str
    features: CopyDetection
    pixels: CopyDetection
    searched: tuple[Indices, Indices]
    """The training pictures that were searched by features, and by pixels."""

    def record(self, picture: str) -> dict[str, object]:
        """The report as in RUN/evaluation.json."""
        by_features, by_pixels = (
            {"copied": found.copied._asdict(), "index": found.index._asdict()}
            for found in (self.features, self.pixels)
        )
        return {"verdict": self.verdict, **by_features, "pixels": by_pixels, "picture": picture}


def check_memorisation(
    samples: SomePixels,
    features: Features,
    real: Features,
    images: Pictures,
    references: ReferencePictures,
    parts: Split,
    budget: TimeBudget | None = None,
) -> MemorisationReport:
    """Memorisation report of samples, (N, C, H, W).

    Args:
        samples: the first `MAX_SAMPLES` of them are used.
        features: features of the samples, (N, d).
        real: features of `references.all_indices`, (P, d).
        images: the real pictures.
        references: its training pictures are searched by their features.
        parts: its training pictures, up to `MAX_PICTURES`, are searched by their pixels, which takes less time.
        budget: of the whole evaluation. Where not all training pictures can be searched in its `COPIES_SHARE`,
            each k-th is.
    """
    count, split = min(len(samples), MAX_SAMPLES), len(references.training)
    chosen = _affordable(features[:count], real[:split], real[split:], budget, 2)
    by_features = detect_copies(features[:count], real[chosen], real[split:])
    pool, unseen = (every_kth(part, MAX_PICTURES) for part in parts)
    chunks = torch.split(samples[:count], pictures_in(_VALUES, samples.shape[1:]))
    ours = torch.cat([pixel_vectors(chunk) for chunk in chunks])
    known, others = _pixels(images, pool), _pixels(images, unseen, ours)
    near = _affordable(ours, known, others, budget, 1)
    by_pixels = detect_copies(ours, known[near], others)
    searched = references.training[chosen], pool[near]
    return MemorisationReport(verdict(by_features, by_pixels), by_features, by_pixels, searched)


def _affordable(
    samples: Features, training: Features, unseen: Features, budget: TimeBudget | None, searches: int
) -> Indices:
    """Places of the training vectors that there is time to search: all, or each k-th, but `_FEWEST` at least.

    A few are searched first, to see how long it takes. `searches` are left to be made in the time.
    """
    everything = np.arange(len(training))
    if budget is None or len(training) <= _FEWEST:
        return everything
    started, few = budget.clock(), training[:_FEWEST]
    detect_copies(samples[:_FEWEST], few, unseen[:_FEWEST])
    pairs = len(few) * (len(samples[:_FEWEST]) + len(unseen[:_FEWEST]))
    each = (budget.clock() - started) / pairs * (len(samples) + len(unseen))
    seconds = budget.seconds_left(COPIES_SHARE) / searches
    return every_kth(everything, max(_FEWEST, int(min(seconds / max(each, 1e-12), len(training)))))


def verdict(by_features: CopyDetection, by_pixels: CopyDetection) -> str:
    """Verdict in one sentence, by features or by pixels, whichever finds more copies."""
    named = {"features": by_features, "pixels": by_pixels}
    count = len(by_features.distances)
    way, worst = max(named.items(), key=lambda item: item[1].copied.low)
    if worst.copied.low > MAX_COPIES:
        return (
            f"It copies: {worst.copied.value:.0%} of {count:,} samples are far nearer to a training picture "
            f"than unseen pictures are (by their {way})."
        )
    way, near = max(named.items(), key=lambda item: item[1].index.low)
    if near.index.low > MAX_INDEX:
        return (
            f"It leans on its training pictures without copying them: in {near.index.value:.0%} of comparisons "
            f"a sample is nearer to them than an unseen picture is (by their {way}); 50% is usual."
        )
    return (
        f"No sign of copying: {worst.copied.value:.1%} of {count:,} samples are far nearer to a training "
        "picture than unseen pictures are."
    )


def nearest_pairs(found: MemorisationReport, samples: SomePixels, images: Pictures) -> Image.Image:
    """Picture of the samples nearest to training pictures, each above its neighbour; no neighbour comes twice.

    They are nearest by features, or by pixels where these find more copies.
    """
    by_pixels = found.pixels.copied.low > found.features.copied.low
    near, pool, shown = (found.features, found.pixels)[by_pixels], found.searched[by_pixels], dict[int, int]()
    for place in near.ratios.argsort().tolist():
        shown.setdefault(int(near.nearest[place]), place)
        if len(shown) == SHOWN_PAIRS:
            break
    return pictures.pairs(
        _drawable(samples[list(shown.values())]),
        _drawable(images.take(pool[list(shown)])),
        [f"{float(near.ratios[place]):.2f}" for place in shown.values()],
        rows=("sample", "training"),
        title=f"{found.verdict}\n{_CAPTION}",
    )


def _drawable(pixels: Pixels) -> Images:
    """Images in [0, 1], of the first three channels where there are more than four."""
    return (pixels if pixels.shape[1] <= 4 else pixels[:, :3]).float() / 255


def _pixels(images: Pictures, indices: Indices, like: Features | None = None) -> Features:
    """Vectors of pixels, (N, d); where there are no indices, an empty tensor of the dimensions of `like`."""
    if not len(indices):
        assert like is not None, "there are training pictures"
        return like[:0]
    return torch.cat([pixel_vectors(chunk) for chunk in in_chunks(images, indices, _VALUES)])


def pixel_vectors(pixels: Pixels) -> Features:
    """Pixels of each picture as a vector in [0, 1], (B, C h w); large pictures are shrunk to `MAX_SIDE`."""
    images = pixels.float() / 255
    height, width = images.shape[2:]
    if max(height, width) > MAX_SIDE:
        scale = MAX_SIDE / max(height, width)
        smaller = math.ceil(height * scale), math.ceil(width * scale)
        images = functional.adaptive_avg_pool2d(images, smaller)
    return images.flatten(1)
