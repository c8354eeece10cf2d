"""Inputs of a sampler search: reference pictures, seeded samples and their features."""

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from unnoise.data import ImageSet
from unnoise.data.batches import Indices
from unnoise.diffusion.denoiser import Denoiser
from unnoise.diffusion.samplers.sampling import Sampling
from unnoise.diffusion.tensors import Classes, Images
from unnoise.evaluation.features import Extractor
from unnoise.evaluation.reference_pictures import ENOUGH_PICTURES
from unnoise.runs.config import RunConfig
from unnoise.utils.errors import require

FeatureVectors: TypeAlias = Float[Tensor, "pictures dimensions"]

MAX_REFERENCES = 1000


class SearchReferences(NamedTuple):
    """Real pictures to compare with, pictures to train an extractor on, and a description of the first."""

    indices: Indices
    training: Indices
    words: str


def search_references(config: RunConfig, images: ImageSet, seed: int = 0) -> SearchReferences:
    """Chooses at most 1,000 reference pictures.

    They are held-out pictures; or any, if fewer than 50 are held out or the pictures are not the run's own.

    Raises:
        UnnoiseError: for a single picture.
    """
    everything = np.arange(len(images))
    require(len(images) >= 2, f"Samples are compared with at least 2 pictures, but {images.source} holds 1.")
    training, held_out = config.split(images)
    chosen, words = everything, f"of {images.source}"
    if not len(training):  # not the run's own pictures
        training = everything
    else:
        enough = len(held_out) >= ENOUGH_PICTURES
        chosen = held_out if enough else everything
        words = f"held out of {images.source}" if enough else f"{words}, trained on, since few were held out"
    some = np.sort(np.random.default_rng([seed, 6]).permutation(chosen)[:MAX_REFERENCES])
    return SearchReferences(some, training, f"{len(some):,} {words}")


def seeded_sampling(
    denoiser: Denoiser,
    classes: Classes | None,
    num_samples: int,
    *,
    seed: int = 0,
    batch_size: int = 64,
    progress: Callable[[int], object] = lambda _: None,
) -> Callable[[Sampling], Images]:
    """Function from a sampler to its samples in [0, 1], (N, C, H, W); sample i has the seed `seed + i`.

    `progress` is called with the number of calls times samples of each batch.
    """

    def draw(sampling: Sampling) -> Images:
        parts, calls = [], sampling.calls(denoiser.schedule)
        for first in range(0, num_samples, batch_size):
            count = min(batch_size, num_samples - first)
            some = None if classes is None else classes[first : first + count]
            parts.append(denoiser.generate(count, seed=seed + first, sampling=sampling, classes=some).cpu())
            progress(calls * count)
        return torch.cat(parts)

    return draw


def pixel_features(extractor: Extractor, batch_size: int = 64) -> Callable[[Images], FeatureVectors]:
    """Function from images in [0, 1] to features of their pixels, rounded to bytes as in a saved picture."""

    def features(images: Images) -> FeatureVectors:
        pixels = images.clamp(0, 1).mul(255).round().to(torch.uint8)
        return torch.cat([extractor(part) for part in torch.split(pixels, batch_size)])

    return features


def affordable_samples(seconds_per_call: float, seconds: float, calls: int) -> int:
    """Number of samples, 24 to 512, for which `calls` calls take half of the time."""
    count = int(seconds / 2 / max(seconds_per_call * calls, 1e-9))
    return max(24, min(512, count // 8 * 8))
