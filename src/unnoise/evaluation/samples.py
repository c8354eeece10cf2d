"""Samples for an evaluation: as many as there is time for, with the classes of the data."""

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
from unnoise.evaluation.reference_pictures import MAX_PICTURES, MIN_PICTURES
from unnoise.evaluation.time_budget import SAMPLES_SHARE, Pace, TimeBudget
from unnoise.runs.config import RunConfig
from unnoise.utils.errors import require

ClassesOf: TypeAlias = Callable[[Sequence[int]], Classes | None]
"""From the positions of samples (0, 1, ...) to their classes, (B,), or None without classes."""


def classes_as_in(config: RunConfig, images: ImageSet, indices: Indices, seed: int = 0) -> ClassesOf:
    """Classes with the frequencies that they have among these pictures: theirs, shuffled and repeated.

    Where the pictures do not have the run's labels, all classes come in turn.
    """
    if images.labels is None or images.class_names != config.data.classes or len(indices) == 0:
        return config.classes
    order = np.random.default_rng([seed, 6]).permutation(indices)
    found = torch.from_numpy(np.asarray(images.labels, dtype=np.int64)[order])
    return lambda positions: found[torch.tensor([position % len(found) for position in positions])]


def draw_samples(
    denoiser: Denoiser,
    sampling: Sampling,
    budget: TimeBudget,
    *,
    classes: ClassesOf = lambda _: None,
    num_samples: int | None = None,
    seed: int = 0,
    batch_size: int = 64,
) -> Iterator[Pixels]:
    """Draws batches of samples, uint8 (B, C, H, W), in `SAMPLES_SHARE` of the time.

    How many fit is measured again with every batch, with what the caller does with it.

    Args:
        denoiser: the model.
        sampling: the sampler and its settings.
        budget: of the whole evaluation; without `num_samples` it decides their number.
        classes: the class of each sample.
        num_samples: exact number of samples, at whatever time; None for `MIN_PICTURES`, which are drawn even if
            there is no time left, to `MAX_PICTURES`.
        seed: sample i has the seed `seed + i`.
        batch_size: samples at a time, at most.

    Raises:
        UnnoiseError: for samples that are not finite, or counts that are too low.
    """
    require(batch_size >= 1, f"The batch size is at least 1, but got {batch_size}.")
    require(
        num_samples is None or num_samples >= MIN_PICTURES,
        f"Scores need at least {MIN_PICTURES} samples, but got --num-samples {num_samples}: try 256.",
    )
    drawn, most, pace = 0, num_samples or MAX_PICTURES, Pace(budget.clock, first=MIN_PICTURES)
    while drawn < most:
        number = min(batch_size, most - drawn)
        if num_samples is None:
            # The first ones in one batch if possible, as they are drawn in any case.
            number = pace.next_batch(budget.seconds_left(SAMPLES_SHARE), number)
            number = max(number, min(batch_size, MIN_PICTURES - drawn))
        if number <= 0:
            return
        positions = range(drawn, drawn + number)
        made = denoiser.generate(
            len(positions),
            seed=seed + drawn,
            sampling=sampling,
            classes=classes(positions),
            batch_size=batch_size,
        )
        require(
            bool(made.isfinite().all()),
            "Some samples contain NaN or infinity, because the run diverged: train it again with a lower "
            "learning rate.",
        )
        drawn += len(positions)
        yield torch.from_numpy(pictures.to_bytes(made)).permute(0, 3, 1, 2).contiguous()


def draw_progress(drawn: int, num_samples: int | None, budget: TimeBudget) -> float:
    """Progress of drawing samples, from 0 to 1: of their number, or of the time."""
    if num_samples is not None:
        return min(1.0, drawn / num_samples)
    return min(1.0, drawn / MIN_PICTURES, max(drawn / MAX_PICTURES, budget.spent() / SAMPLES_SHARE))
