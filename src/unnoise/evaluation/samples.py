"""Samples to judge a run by are drawn batch by batch, as many as there is time for, each with its own seed."""

from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

import numpy as np
import torch

from unnoise import pictures
from unnoise.data import ImageSet
from unnoise.data.batches import Indices
from unnoise.diffusion.denoiser import Denoiser
from unnoise.diffusion.samplers.sampling import Sampling
from unnoise.diffusion.tensors import Classes, Pixels
from unnoise.evaluation.budget import FOR_SAMPLES, Stopwatch
from unnoise.evaluation.judges import LEAST, MOST
from unnoise.runs.config import RunConfig
from unnoise.utils.errors import require

FEWEST = 64
"""So many samples are drawn, however little time there is."""

Choose: TypeAlias = Callable[[Sequence[int]], Classes | None]
"""The classes of the samples at these places, (B,); None where there are none."""


def classes_like(config: RunConfig, images: ImageSet, indices: Indices, seed: int = 0) -> Choose:
    """Classes as often as these pictures have them: a shuffled list of theirs, again and again.

    Pictures without the run's own labels say nothing of that; then all classes come in turn.
    """
    if images.labels is None or images.class_names != config.data.classes or len(indices) == 0:
        return config.classes
    order = np.random.default_rng([seed, 6]).permutation(indices)
    found = torch.from_numpy(np.asarray(images.labels, dtype=np.int64)[order])
    return lambda places: found[torch.tensor([place % len(found) for place in places])]


def draw(
    denoiser: Denoiser,
    sampling: Sampling,
    watch: Stopwatch,
    *,
    classes: Choose = lambda _: None,
    num_samples: int | None = None,
    seed: int = 0,
    batch_size: int = 64,
) -> Iterator[Pixels]:
    """Batches of samples, uint8 (B, C, H, W), until `FOR_SAMPLES` of the minutes is spent.

    Args:
        diffusion: whose averaged network draws.
        sampling: how.
        watch: asked before each batch, so that whatever is done with a batch counts as well.
        classes: which class the sample of each place has.
        num_samples: just so many, whatever the time; left out, from `FEWEST` to `MOST`.
        seed: sample i has the seed `seed + i`.
        batch_size: samples at a time.

    Raises:
        UnnoiseError: for samples that are no finite numbers, or counts below 1.
    """
    require(batch_size >= 1, f"The batch size is at least 1, but got {batch_size}.")
    require(
        num_samples is None or num_samples >= LEAST,
        f"Scores need at least {LEAST} samples, but {num_samples} were asked for: try 256.",
    )
    least, most = (FEWEST, MOST) if num_samples is None else (num_samples, num_samples)
    drawn = 0
    while drawn < least or (drawn < most and watch.spent() < FOR_SAMPLES):
        places = range(drawn, min(drawn + batch_size, most))
        made = denoiser.generate(
            len(places),
            seed=seed + drawn,
            sampling=sampling,
            classes=classes(places),
            batch_size=batch_size,
        )
        require(
            bool(made.isfinite().all()),
            "Samples are finite numbers, but some of this run's are not: it diverged, so train it again with a "
            "lower learning rate.",
        )
        drawn += len(places)
        yield torch.from_numpy(pictures.to_bytes(made)).permute(0, 3, 1, 2).contiguous()


def drawn_share(drawn: int, num_samples: int | None, watch: Stopwatch) -> float:
    """How much of the drawing is done, from 0 to 1: of the samples, or of the time."""
    if num_samples is not None:
        return min(1.0, drawn / num_samples)
    return min(1.0, drawn / FEWEST, max(drawn / MOST, watch.spent() / FOR_SAMPLES))
