"""Scores of samples: KID, FID, precision, recall, density and coverage.

Distances are named after their extractor, such as KID-lite0; KID and FID alone are those of Inception.
"""

from collections.abc import Iterator
from typing import Literal, NamedTuple, TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor

from unnoise.evaluation.features import Extractor
from unnoise.evaluation.metrics import (
    ConfidenceInterval,
    frechet_distance,
    frechet_interval,
    kernel_distance,
    kernel_interval,
    manifold_metrics,
)
from unnoise.evaluation.reference_pictures import ENOUGH_PICTURES, ReferencePictures

Vectors: TypeAlias = Float[Tensor, "_ _"]

STANDARD_SAMPLES = 50_000
"""Number of samples for the FID of papers."""

MAX_PAIRWISE = 5_000
"""Number of pictures of each set, at most, in metrics that compare all pairs."""


class Score(NamedTuple):
    """Score of the samples by one metric, with its 95 % interval."""

    name: str
    value: float
    low: float
    high: float
    better: Literal["lower", "higher"]
    real: float | None
    """The score of real pictures in place of samples: what a perfect model would reach."""


class FeatureSets(NamedTuple):
    """Feature vectors of samples and real pictures, (N, d) each."""

    samples: Vectors
    references: Vectors
    """The real pictures that samples are compared with."""
    real: tuple[Vectors, Vectors]
    """Two sets of real pictures, whose scores are those that a perfect model would reach."""
    baseline: str
    """Description of these two sets."""


def feature_sets(samples: Vectors, real: Vectors, references: ReferencePictures, seed: int = 0) -> FeatureSets:
    """Feature sets from the features of the samples, (N, d), and those of `references.all_indices`, (P, d).

    For the score of a perfect model, real pictures other than the references take the place of the samples, in
    the same number if possible. Where there are too few others, two halves of the references are compared,
    whose distances are larger because they are smaller sets.
    """
    training, held_out = real[: len(references.training)], real[len(references.training) :]
    compared, others, name = {
        "held-out": (held_out, training, "training pictures"),
        "training": (training, held_out, "held-out pictures"),
        "all": (real, real[:0], ""),
    }[references.split]
    generator = torch.Generator().manual_seed(seed)
    if len(others) >= ENOUGH_PICTURES:
        some = others[torch.randperm(len(others), generator=generator)[: len(samples)]]
        return FeatureSets(samples, compared, (some, compared), f"{len(some):,} {name}")
    order, half = torch.randperm(len(compared), generator=generator), len(compared) // 2
    halves = compared[order[:half]], compared[order[half:]]
    return FeatureSets(samples, compared, halves, f"halves of {half:,}")


def compute_scores(features: FeatureSets, extractor: str, *, seed: int = 0) -> Iterator[Score]:
    """Scores of samples, one at a time: KID, FID, precision, recall, density and coverage.

    Args:
        features: see `feature_sets`.
        extractor: name of the extractor, which is added to the names of the distances unless it is Inception.
        seed: seed of the bootstrap.
    """
    samples, references, (some, others), _ = features
    fewer = [_random_subset(vectors, seed) for vectors in (samples, references, some, others)]
    kernel, frechet = ("KID", "FID") if extractor == "inception" else (f"KID-{extractor}", f"FD-{extractor}")
    real = float(kernel_distance(fewer[2], fewer[3]))
    yield Score(kernel, *kernel_interval(fewer[0], fewer[1], seed=seed), "lower", real)
    real = float(frechet_distance(some, others))
    yield Score(frechet, *frechet_interval(samples, references), "lower", real)
    found, best = manifold_metrics(fewer[1], fewer[0]), manifold_metrics(fewer[3], fewer[2])
    for name in ("precision", "recall", "density", "coverage"):
        interval: ConfidenceInterval = getattr(found, name)
        yield Score(name, *interval, "higher", getattr(best, name).value)


def _random_subset(vectors: Vectors, seed: int) -> Vectors:
    order = torch.randperm(len(vectors), generator=torch.Generator().manual_seed(seed))
    return vectors if len(vectors) <= MAX_PAIRWISE else vectors[order[:MAX_PAIRWISE]]


def score_warnings(extractor: Extractor, num_samples: int, dimensions: int) -> list[str]:
    """Warnings against comparing these scores with others, one sentence each."""
    found = []
    if num_samples < STANDARD_SAMPLES:
        found.append(
            f"Of {num_samples:,} samples, fewer than the usual {STANDARD_SAMPLES:,}, the Fréchet distance is "
            f"biased upwards (it estimates a covariance of {dimensions:,} x {dimensions:,}). KID is unbiased: "
            "rely on it."
        )
    if num_samples > MAX_PAIRWISE:
        found.append(
            f"To save time, KID, precision, recall, density and coverage use {MAX_PAIRWISE:,} of the pictures."
        )
    if not extractor.comparable:
        found.append(
            f"The extractor {extractor.name!r} was trained on these pictures, so its scores are comparable "
            "between runs on these pictures only, not between data sets."
        )
    elif extractor.name != "inception":
        found.append(
            f"Distances of {extractor.name} are not comparable with the FID and KID of papers, which use "
            "Inception."
        )
    return found
