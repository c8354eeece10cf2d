"""A sample that lies far nearer to one training picture than unseen pictures do was learned by heart."""

import math
from typing import NamedTuple, TypeAlias

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor
from torch.nn import functional

from unnoise import pictures
from unnoise.data.batches import Indices, Pictures, Split
from unnoise.diffusion.tensors import Images, Pixels, SomePixels
from unnoise.evaluation.judges import MOST, Panel, spread
from unnoise.evaluation.metrics import Copying, copying

Features: TypeAlias = Float[Tensor, "_ _"]

LOOKED_AT = 2_000
"""Samples whose neighbours are looked for: a share of them is known to 2 %."""

COPIES = 0.02
"""A run copies where more of its samples do, beyond doubt. One unseen picture in 200 is blamed by chance."""

LEANS = 0.6
"""A run begins to copy where a sample is nearer to training than an unseen picture more often than this."""

SHOWN = 12
_LONGEST = 32
"""Pictures are compared pixel by pixel at up to this size: what is finer is noise to a distance."""

_BENEATH = (
    "Beneath each pair its distance; unseen pictures are usually 1 away from the nearest training picture."
)
_AT_ONCE = 512


class Memorisation(NamedTuple):
    """The nearest training neighbours of samples, by their features and by their pixels, and the verdict."""

    verdict: str
    features: Copying
    pixels: Copying
    pools: tuple[Indices, Indices]
    """The training pictures that either looked among."""

    def plain(self, picture: str) -> dict[str, object]:
        """As RUN/evaluation.json has it."""
        by_features, by_pixels = (
            {"copied": found.copied._asdict(), "index": found.index._asdict()}
            for found in (self.features, self.pixels)
        )
        return {"verdict": self.verdict, **by_features, "pixels": by_pixels, "picture": picture}


def memorisation(
    samples: SomePixels, features: Features, real: Features, images: Pictures, panel: Panel, seen: Split
) -> Memorisation:
    """Looks for the training neighbours of samples, (N, C, H, W).

    Args:
        samples: at most `LOOKED_AT` of them count.
        features: theirs, (N, d).
        real: those of `panel.everything`, (P, d).
        images: where all pictures are taken from.
        panel: whose training pictures are looked at by their features.
        seen: whose training pictures, up to `MOST`, are looked at by their pixels, which costs less.
    """
    count, split = min(len(samples), LOOKED_AT), len(panel.training)
    by_features = copying(features[:count], real[:split], real[split:])
    pool, unseen = (spread(part, MOST) for part in seen)
    ours = torch.cat([_flat(samples[i : i + _AT_ONCE]) for i in range(0, count, _AT_ONCE)])[:count]
    by_pixels = copying(ours, _pixels(images, pool), _pixels(images, unseen, ours))
    return Memorisation(verdict(by_features, by_pixels), by_features, by_pixels, (panel.training, pool))


def verdict(by_features: Copying, by_pixels: Copying) -> str:
    """One sentence; the worse of the two tells."""
    named = {"features": by_features, "pixels": by_pixels}
    count = len(by_features.distances)
    way, worst = max(named.items(), key=lambda item: item[1].copied.low)
    if worst.copied.low > COPIES:
        return (
            f"It copies: {worst.copied.value:.0%} of {count:,} samples are far nearer to a training picture "
            f"than unseen pictures are (by their {way})."
        )
    way, near = max(named.items(), key=lambda item: item[1].index.low)
    if near.index.low > LEANS:
        return (
            f"It leans on its training pictures, without copying them: {near.index.value:.0%} of the time a "
            f"sample is nearer to them than an unseen picture is (by their {way}); 50% is usual."
        )
    return (
        f"No sign of copying: {worst.copied.value:.1%} of {count:,} samples are far nearer to a training "
        "picture than unseen pictures are."
    )


def nearest_pairs(found: Memorisation, samples: SomePixels, images: Pictures) -> Image.Image:
    """The samples nearest to training, each above its training picture, which comes only once.

    By their features, or by their pixels where these tell of more copies.
    """
    by_pixels = found.pixels.copied.low > found.features.copied.low
    near, pool, shown = (found.features, found.pixels)[by_pixels], found.pools[by_pixels], dict[int, int]()
    for place in near.ratios.argsort().tolist():
        shown.setdefault(int(near.nearest[place]), place)
        if len(shown) == SHOWN:
            break
    return pictures.pairs(
        _drawable(samples[list(shown.values())]),
        _drawable(images.take(pool[list(shown)])),
        [f"{float(near.ratios[place]):.2f}" for place in shown.values()],
        rows=("sample", "training"),
        title=f"{found.verdict}\n{_BENEATH}",
    )


def _drawable(pixels: Pixels) -> Images:
    """What a person can be shown of it, in [0, 1]."""
    return (pixels if pixels.shape[1] <= 4 else pixels[:, :3]).float() / 255


def _pixels(images: Pictures, indices: Indices, like: Features | None = None) -> Features:
    """Vectors of pixels, (N, d); none of the length of another's where there are no indices."""
    chunks = [indices[first : first + _AT_ONCE] for first in range(0, len(indices), _AT_ONCE)]
    if not chunks:
        assert like is not None, "there are training pictures"
        return like[:0]
    return torch.cat([_flat(images.take(some)) for some in chunks])


def _flat(pixels: Pixels) -> Features:
    """A vector of values for each picture, (B, C h w), after shrinking what is large."""
    images = pixels.float() / 255
    height, width = images.shape[2:]
    if max(height, width) > _LONGEST:
        scale = _LONGEST / max(height, width)
        smaller = math.ceil(height * scale), math.ceil(width * scale)
        images = functional.adaptive_avg_pool2d(images, smaller)
    return images.flatten(1)
