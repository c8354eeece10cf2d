"""Quick measurement of sample quality during training: kernel distance and share of copies of 64 samples."""

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor
from torch.nn import functional

from unnoise.data.batches import Indices, Split, evenly_spread, in_chunks
from unnoise.diffusion import samplers
from unnoise.diffusion.denoiser import Denoiser
from unnoise.diffusion.tensors import Classes, Images, Pixels, SomePixels
from unnoise.evaluation.features import Extractor, FingerprintedPictures, choose_extractor, features_of, lite0
from unnoise.evaluation.metrics import detect_copies, kernel_interval
from unnoise.evaluation.metrics.copy_detection import FEWEST_DISTINCT
from unnoise.evaluation.metrics.vectors import Vectors
from unnoise.pictures import to_bytes
from unnoise.pictures.charts import COLOURS, FAINT, painted
from unnoise.pictures.loss_curves import counted
from unnoise.runs.config import RunConfig
from unnoise.runs.history import QualityRow

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NUM_SAMPLES, NUM_STEPS = 64, 6
"""Samples of a measurement, and steps of each: enough for two-step Adams-Bashforth to show which is better."""

FIRST_SEED = 1_000_000
"""Far from the seeds of the sample sheet."""

MIN_HELD_OUT = 10
"""Held-out pictures below which samples are not measured."""

_MAX_REFERENCES = 500
_MAX_NEIGHBOURS = 5_000
_LOADED_VALUES = 2**22
_THUMBNAIL_VALUES = 384
"""Values of a thumbnail, at most: 19 x 19 in grey, 11 x 11 in colour."""


@dataclass(frozen=True)
class SampleScorer:
    """Scores samples against the pictures of a run; made once, for that takes longer than scoring.

    Args:
        extractor: of the features that are compared.
        references: features of held-out pictures, or of training pictures where too few are held out.
        training, held_out: thumbnails, (M, d) and (L, d), to find copies among.
    """

    extractor: Extractor
    references: Float[Tensor, "references features"]
    training: Float[Tensor, "training pixels"]
    held_out: Float[Tensor, "held_out pixels"]

    @classmethod
    def of(
        cls, pictures: FingerprintedPictures, parts: Split, *, seed: int, device: torch.device | str
    ) -> "SampleScorer":
        """The scorer for a run on these pictures."""
        name, side = "lite0", min(64, max(32, *pictures.take(parts.training[:1]).shape[2:]))
        if not lite0.is_installed():
            name, side = "learned", None
        extractor = choose_extractor(name, pictures, parts.training, side=side, seed=seed, device=device)
        references = evenly_spread(parts.held_out, _MAX_REFERENCES)
        return cls(
            extractor,
            features_of(extractor, pictures, references),
            _thumbnails(pictures, evenly_spread(parts.training, _MAX_NEIGHBOURS)),
            _thumbnails(pictures, evenly_spread(parts.held_out, _MAX_NEIGHBOURS)),
        )

    @property
    def name(self) -> str:
        """Name of the extractor with the size of its input; distances at different sizes don't compare."""
        return f"{self.extractor.name} at {self.extractor.side} px"

    @functools.cached_property
    def _tells_copies(self) -> bool:
        return len(torch.unique(self.training, dim=0)) >= FEWEST_DISTINCT

    def __call__(self, samples: Pixels, step: int, images: int, seconds: float) -> QualityRow:
        """Scores samples, uint8 (B, C, H, W)."""
        features = torch.cat([self.extractor(chunk) for chunk in torch.split(samples, 64)])
        kid = kernel_interval(features, self.references, resamples=200)
        copied, index = 0.0, 0.5  # where there are too few pictures to tell
        if self._tells_copies:
            found = detect_copies(_thumbnail(samples), self.training, self.held_out)
            copied, index = found.copied.value, found.index.value
        return QualityRow(step, images, seconds, *kid, copied, index, self.name)


def quick_samples(denoiser: Denoiser, config: RunConfig, batch_size: int = 64) -> Pixels:
    """Draws NUM_SAMPLES samples of the averaged network, uint8 (N, C, H, W).

    In NUM_STEPS steps each; those of a network that jumps as the run draws, in even fewer.
    """
    made = []
    for first in range(0, NUM_SAMPLES, batch_size):
        seeds = range(FIRST_SEED + first, FIRST_SEED + min(first + batch_size, NUM_SAMPLES))
        classes = config.classes([seed - FIRST_SEED for seed in seeds])
        classes = denoiser.abilities.classes_of_seeds(seeds) if classes is None else classes.to(denoiser.device)
        made.append(to_bytes(_quickly(denoiser, config, seeds, classes)))
    return torch.from_numpy(np.concatenate(made)).permute(0, 3, 1, 2).contiguous()


def _quickly(denoiser: Denoiser, config: RunConfig, seeds: range, classes: Classes | None) -> Images:
    own = config.recipe.sampling
    if config.jumps:
        return denoiser.generate(len(seeds), seed=seeds.start, sampling=own, classes=classes)
    sampling = replace(own, num_steps=NUM_STEPS)
    *_, last = samplers.adams_bashforth(
        denoiser.guided_denoise(sampling, classes),
        denoiser.noises(seeds)(),
        NUM_STEPS,
        denoiser.schedule,
        times=sampling.times(denoiser.schedule),
    )
    return denoiser.normalizer.denormalize(last.images)


def _thumbnails(pictures: FingerprintedPictures, indices: Indices) -> Vectors:
    """Thumbnails of the pictures at these indices; full-size pictures are loaded a few at a time."""
    made = [_thumbnail(chunk) for chunk in in_chunks(pictures, indices, _LOADED_VALUES)]
    return torch.cat(made) if made else _thumbnail(pictures.take(indices))


def _thumbnail(pictures: SomePixels) -> Vectors:
    """Each picture as at most `_THUMBNAIL_VALUES` values, which show a copy as well as all of its pixels do."""
    channels, height, width = pictures.shape[1:]
    smaller = min(1.0, math.sqrt(_THUMBNAIL_VALUES / (channels * height * width)))
    size = max(1, int(height * smaller)), max(1, int(width * smaller))
    return functional.adaptive_avg_pool2d(pictures.float() / 255, size).flatten(1)


def quality_chart(rows: Sequence[QualityRow], best: int) -> Image.Image:
    """Chart of the kernel distance with its interval against the images seen; the best step is marked."""

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
