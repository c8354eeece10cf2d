"""A score says what it was measured with: only Inception's distances are called KID and FID."""

from collections.abc import Iterator
from typing import Literal, NamedTuple, TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor

from unnoise.evaluation.features import Extractor
from unnoise.evaluation.judges import ENOUGH, Panel
from unnoise.evaluation.metrics import (
    Interval,
    frechet_distance,
    frechet_interval,
    kernel_distance,
    kernel_interval,
    manifold,
)

Vectors: TypeAlias = Float[Tensor, "_ _"]

STANDARD = 50_000
"""Samples of the FID that papers report."""


PAIRWISE = 5_000
"""What compares each picture with each does so for at most so many of a kind."""


class Score(NamedTuple):
    """How far samples are from real pictures in one respect, with its 95 % interval."""

    name: str
    value: float
    low: float
    high: float
    better: Literal["lower", "higher"]
    real: float | None
    """The same for real pictures in the samples' place: what a perfect model would reach."""


class Sets(NamedTuple):
    """Feature vectors, (N, d) each."""

    samples: Vectors
    references: Vectors
    """Of the real pictures that the samples should resemble."""
    real: tuple[Vectors, Vectors]
    """Two sets of real pictures, whose distance is the one that a perfect model would have."""
    floor: str
    """What these are, in words."""


def sets(samples: Vectors, real: Vectors, panel: Panel, seed: int = 0) -> Sets:
    """Sorts the features of `panel.everything`, (P, d), by what they are compared with.

    In the samples' place other real pictures than the references show what a perfect model would reach: as
    many, where there are so many. Where the panel has none to spare, two halves of the references are
    compared; being smaller, they lie further apart.
    """
    training, held_out = real[: len(panel.training)], real[len(panel.training) :]
    references, others, name = {
        "held-out": (held_out, training, "training pictures"),
        "training": (training, held_out, "held-out pictures"),
        "all": (real, real[:0], ""),
    }[panel.compared]
    chance = torch.Generator().manual_seed(seed)
    if len(others) >= ENOUGH:
        some = others[torch.randperm(len(others), generator=chance)[: len(samples)]]
        return Sets(samples, references, (some, references), f"{len(some):,} {name}")
    order, half = torch.randperm(len(references), generator=chance), len(references) // 2
    halves = references[order[:half]], references[order[half:]]
    return Sets(samples, references, halves, f"halves of {half:,}")


def scores(features: Sets, extractor: str, *, seed: int = 0) -> Iterator[Score]:
    """KID, FID, precision, recall, density and coverage, one at a time: the quick and unbiased one first.

    Args:
        features: from `sets`.
        extractor: its name, which becomes part of the distances' unless it is Inception's.
        seed: of the resampling behind the intervals.
    """
    samples, references, (some, others), _ = features
    fewer = [_few(vectors, seed) for vectors in (samples, references, some, others)]
    kernel, frechet = ("KID", "FID") if extractor == "inception" else (f"KID-{extractor}", f"FD-{extractor}")
    real = float(kernel_distance(fewer[2], fewer[3]))
    yield Score(kernel, *kernel_interval(fewer[0], fewer[1], seed=seed), "lower", real)
    real = float(frechet_distance(some, others))
    yield Score(frechet, *frechet_interval(samples, references), "lower", real)
    found, best = manifold(fewer[1], fewer[0]), manifold(fewer[3], fewer[2])
    for name in ("precision", "recall", "density", "coverage"):
        interval: Interval = getattr(found, name)
        yield Score(name, *interval, "higher", getattr(best, name).value)


def _few(vectors: Vectors, seed: int) -> Vectors:
    order = torch.randperm(len(vectors), generator=torch.Generator().manual_seed(seed))
    return vectors if len(vectors) <= PAIRWISE else vectors[order[:PAIRWISE]]


def warnings(extractor: Extractor, num_samples: int, dimensions: int) -> list[str]:
    """What keeps these scores from being compared with others, a sentence each."""
    said = []
    if num_samples < STANDARD:
        said.append(
            f"{num_samples:,} samples are fewer than the usual {STANDARD:,}: a Frechet distance is then biased "
            f"upwards, since it estimates a covariance of {dimensions:,} x {dimensions:,} from them, while KID "
            "is right on average; so KID stands first."
        )
    if num_samples > PAIRWISE:
        said.append(
            f"KID, precision, recall, density and coverage compare each picture with each: of {PAIRWISE:,} of "
            "them, for the sake of time."
        )
    if not extractor.comparable:
        said.append(
            f"The extractor {extractor.name!r} learned from these pictures: its numbers are not comparable "
            "between data sets, only between runs on this one."
        )
    elif extractor.name != "inception":
        said.append(
            f"Distances by {extractor.name} are not the FID and KID of papers, which are Inception's: compare "
            "them only with each other."
        )
    return said
