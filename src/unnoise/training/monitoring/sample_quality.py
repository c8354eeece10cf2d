"""How good the samples of a run are while it trains: a few of them, and the same seeds each time."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor
from torch.nn import functional

from unnoise.data.batches import Indices, Split
from unnoise.diffusion import samplers
from unnoise.diffusion.denoiser import Denoiser
from unnoise.diffusion.tensors import Pixels, SomePixels
from unnoise.evaluation.features import Extractor, KnownPictures, choose, features_of, lite0
from unnoise.evaluation.metrics import copying, kernel_interval
from unnoise.evaluation.metrics.vectors import Vectors
from unnoise.pictures import to_bytes
from unnoise.pictures.charts import COLOURS, FAINT, painted
from unnoise.pictures.loss_curves import counted
from unnoise.runs.config import RunConfig

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NUM_SAMPLES = 64
CALLS = 6
"""Of the network for each sample: two-step Adams-Bashforth needs no more to tell better from worse."""

FIRST_SEED = 1_000_000
"""Far from the seeds of the sample sheet."""

_REFERENCES = 500
_NEIGHBOURS = 5_000
_NUMBERS = 384
"""Of which a picture is made for telling copies: 19 x 19 in grey, 11 x 11 in colour."""


class Quality(NamedTuple):
    """A line of quality.csv: the kernel distance with its 95 % interval, and how much is learned by heart."""

    step: int
    images: int
    seconds: float
    kid: float
    low: float
    high: float
    copied: float
    """The share of samples that are copies of training pictures, in pixels."""
    nearer: float
    """How probably a sample is nearer to training than an unseen picture: 0.5 is healthy, 1 by heart."""
    extractor: str


@dataclass(frozen=True)
class Judge:
    """What samples are held against: made once, which takes longer than using it.

    Args:
        extractor: of the features that are compared.
        references: features of pictures that the run has not seen; of training pictures where too few were
            held out.
        training, held_out: what pictures look like from afar, to look for copies in, (M, d) and (L, d).
    """

    extractor: Extractor
    references: Float[Tensor, "references features"]
    training: Float[Tensor, "training pixels"]
    held_out: Float[Tensor, "held_out pixels"]

    @classmethod
    def of(cls, pictures: KnownPictures, parts: Split, *, seed: int, device: torch.device | str) -> "Judge":
        """The judge of a run on these pictures."""
        name, side = "lite0", min(64, max(32, *pictures.take(parts.training[:1]).shape[2:]))
        if not lite0.is_installed():
            name, side = "learned", None
        extractor = choose(name, pictures, parts.training, side=side, seed=seed, device=device)
        unseen = _spread(parts.held_out, _REFERENCES)
        return cls(
            extractor,
            features_of(extractor, pictures, unseen),
            _looks(pictures, _spread(parts.training, _NEIGHBOURS)),
            _looks(pictures, _spread(parts.held_out, _NEIGHBOURS)),
        )

    @property
    def name(self) -> str:
        """Of what it looks with, and at which size: its distances are those of no other size."""
        return f"{self.extractor.name} at {self.extractor.side} px"

    def __call__(self, samples: Pixels, step: int, images: int, seconds: float) -> Quality:
        """Judges samples, uint8 (B, C, H, W)."""
        features = torch.cat([self.extractor(chunk) for chunk in torch.split(samples, 64)])
        kid = kernel_interval(features, self.references, resamples=200)
        found = copying(_from_afar(samples), self.training, self.held_out)
        return Quality(step, images, seconds, *kid, found.copied.value, found.index.value, self.name)


FEWEST_HELD_OUT = 10
"""Samples are judged by pictures that were held out; fewer say nothing."""


def quick_samples(denoiser: Denoiser, config: RunConfig, batch_size: int = 64) -> Pixels:
    """NUM_SAMPLES pictures of the averaged network in CALLS calls each, uint8 (N, C, H, W)."""
    sampling = replace(config.recipe.sampling, num_steps=CALLS)
    made = []
    for first in range(0, NUM_SAMPLES, batch_size):
        seeds = range(FIRST_SEED + first, FIRST_SEED + min(first + batch_size, NUM_SAMPLES))
        classes = config.classes([seed - FIRST_SEED for seed in seeds])
        told = None if classes is None else classes.to(denoiser.device)
        denoise = denoiser.guided_denoise(sampling, told)
        noises = denoiser.noises(seeds)()
        walk = samplers.adams_bashforth(
            denoise, noises, CALLS, denoiser.schedule, times=sampling.times(denoiser.schedule)
        )
        for prediction in walk:
            images = prediction.images
        made.append(to_bytes(denoiser.normalizer.denormalize(images)))
    return torch.from_numpy(np.concatenate(made)).permute(0, 3, 1, 2).contiguous()


def _spread(indices: Indices, count: int) -> Indices:
    """At most so many of them, at equal distances."""
    places = np.linspace(0, len(indices) - 1, min(count, len(indices))).astype(np.int64)
    return np.asarray(indices[places])


def _looks(pictures: KnownPictures, indices: Indices) -> Vectors:
    """What the pictures at these places look like from afar; never are all of them in memory as they are."""
    chunks = [indices[first : first + 256] for first in range(0, len(indices), 256)]
    seen = [_from_afar(pictures.take(chunk)) for chunk in chunks]
    return torch.cat(seen) if seen else _from_afar(pictures.take(indices))


def _from_afar(pictures: SomePixels) -> Vectors:
    """Each picture in at most `_NUMBERS` numbers, which tell a copy as well as all of its pixels do."""
    channels, height, width = pictures.shape[1:]
    smaller = min(1.0, math.sqrt(_NUMBERS / (channels * height * width)))
    size = max(1, int(height * smaller)), max(1, int(width * smaller))
    return functional.adaptive_avg_pool2d(pictures.float() / 255, size).flatten(1)


def quality_chart(rows: Sequence[Quality], best: int) -> Image.Image:
    """Draws the kernel distance with its interval against the images seen, and marks the best step."""

    def draw(figure: "Figure") -> None:
        axes = figure.subplots()
        axes.set_title(f"KID-{rows[-1].extractor} of {NUM_SAMPLES} samples: lower is better")
        axes.set_xlabel("images seen")
        axes.xaxis.set_major_formatter(lambda images, _: counted(images))
        images = [row.images for row in rows]
        axes.fill_between(images, [r.low for r in rows], [r.high for r in rows], color=COLOURS[0], alpha=0.15)
        axes.plot(images, [row.kid for row in rows], color=COLOURS[0], marker="o", markersize=4.0)
        axes.axhline(0.0, color=FAINT, linewidth=0.7)
        chosen = next(row for row in rows if row.step == best)
        axes.plot(chosen.images, chosen.kid, marker="o", markersize=9.0, color=COLOURS[1], fillstyle="none")
        axes.annotate(
            f"best: step {best:,}",
            (chosen.images, chosen.kid),
            xytext=(0, 12),
            textcoords="offset points",
            ha="center",
            color=COLOURS[1],
            bbox={"boxstyle": "round,pad=0.2", "facecolor": "white", "edgecolor": "none", "alpha": 0.8},
        )

    return painted(draw, (8.0, 4.0))
