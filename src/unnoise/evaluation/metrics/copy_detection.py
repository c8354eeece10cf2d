r"""Copy detection: samples much nearer to a training picture than unseen pictures are (memorisation).

A sample is a copy if its distance d to the nearest training picture satisfies

    d < c min(m, l),      m: the median distance of unseen pictures to their nearest training picture
                          l: the median distance of the sample to its 2nd to 11th nearest training pictures

With m alone, smooth samples and samples of a dense class, which are near to many pictures, would count as
copies. The criterion with l alone is that of Yoon et al. (Diffusion probabilistic models generalize when they
fail to memorize, 2023), c = 1/3; they take the 2nd nearest only, which misses pictures that the data has twice.
The scale of the vectors does not matter.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from unnoise.evaluation.metrics.confidence_intervals import ConfidenceInterval, share_interval
from unnoise.evaluation.metrics.vectors import AnyVectors, OtherVectors, PerPicture, Vectors, checked, nearest
from unnoise.utils.errors import require

FEWEST_DISTINCT = 3
"""Training pictures, at least, that differ from one another."""
_NEIGHBOURS = 11  # enough for the median to ignore a few near-copies within the data
_FEWEST_HELD_OUT = 20
_REFERENCES = 2000
_NEAR_LIMIT = 1 / 3
_NEAREST_LIMIT = 1 / 10  # lower bound of the limit, for data of near-copies
_FALSE_POSITIVES = 0.005


@dataclass(frozen=True)
class CopyDetection:
    """Result of copy detection: one entry per sample; in `references`, one per unseen picture."""

    distances: PerPicture
    """The distance to the nearest training vector."""
    nearest: Int[Tensor, " pictures"]
    """The index of the nearest training vector; of equal ones the first."""
    second: PerPicture
    """The distance to the next training vector that is not equal to the nearest."""
    held_out: PerPicture
    """The distance to the nearest held-out vector; infinite where there is none."""
    references: Float[Tensor, " references"]
    """The distances of unseen pictures to their nearest training vector."""
    from_held_out: bool
    """Whether the unseen pictures are held-out ones; otherwise training pictures, each left out once."""
    ratios: PerPicture
    """`distances` over the median of `references`."""
    copies: Bool[Tensor, " pictures"]
    """Whether each sample is a copy."""
    copied: ConfidenceInterval
    """The share of copies."""
    index: ConfidenceInterval
    """The probability that a sample is nearer to the training set than an unseen picture: 0.5 is usual, 1 is
    copied."""


def detect_copies(samples: AnyVectors, training: AnyVectors, held_out: AnyVectors) -> CopyDetection:
    """Finds copies among samples (N, d) of training vectors (M, d); the held-out ones (L, d) may be none.

    Vectors are pixels or features. With at least 20 held-out pictures, these are the unseen pictures; otherwise
    up to 2,000 evenly spread training pictures are, each left out once. Pictures that equal a training picture
    are ignored. c above is 1/3, or lower (at least 1/10) so that at most 1 in 200 unseen pictures counts as a
    copy.

    `copied` is a share with Wilson's interval, `index` the Mann-Whitney statistic with the variance of DeLong
    et al. (1988), both conditional on the training pictures.

    Raises:
        UnnoiseError: for no samples, fewer than 3 distinct training vectors, other dimensions, or features
            that are not finite.
    """
    samples, training, held_out = checked("copy detection", samples, training, held_out, least=0)
    require(len(samples) > 0, "Copy detection needs at least 1 sample, but got 0.")
    distinct, first = _distinct(training)
    require(
        len(distinct) >= FEWEST_DISTINCT,
        f"Copy detection needs at least {FEWEST_DISTINCT} distinct training pictures, but got {len(distinct)}.",
    )
    near = nearest(samples, distinct, _NEIGHBOURS)
    unseen, from_held_out = _unseen_distances(held_out, distinct)
    references = unseen[:, 0]
    usual = references.median()
    limit = _relative_distance(unseen, usual).quantile(_FALSE_POSITIVES).clamp(_NEAREST_LIMIT, _NEAR_LIMIT)
    found = near.distances[:, 0]
    copies = _relative_distance(near.distances, usual) < limit
    return CopyDetection(
        distances=found,
        nearest=first[near.indices[:, 0]],
        second=near.distances[:, 1],
        held_out=_to_held_out(samples, held_out),
        references=references,
        from_held_out=from_held_out,
        ratios=found / usual,
        copies=copies,
        copied=share_interval(copies.double().mean().item(), len(copies)),
        index=_mann_whitney(found, references),
    )


def _distinct(vectors: Vectors) -> tuple[Float[Tensor, "distinct dimensions"], Int[Tensor, " distinct"]]:
    """Each vector once, and its first index."""
    once, which = torch.unique(vectors, dim=0, return_inverse=True)
    places = torch.arange(len(vectors), device=vectors.device)
    first = torch.full((len(once),), len(vectors), device=vectors.device).scatter_reduce(
        0, which, places, "amin"
    )
    return once, first


def _unseen_distances(
    held_out: Vectors, training: OtherVectors
) -> tuple[Float[Tensor, "references nearest"], bool]:
    """Distances of unseen pictures to their nearest training vectors, and whether they are held out."""
    found = nearest(held_out, training, _NEIGHBOURS).distances
    found = found[found[:, 0] > 0]
    if len(found) >= _FEWEST_HELD_OUT:
        return found, True
    step = -(-len(training) // _REFERENCES)
    # The nearest of all is the training vector itself.
    return nearest(training[::step], training, _NEIGHBOURS + 1).distances[:, 1:], False


def _relative_distance(found: Float[Tensor, "pictures nearest"], usual: Tensor) -> PerPicture:
    """The ratio d / min(m, l), as above."""
    return found[:, 0] / found[:, 1:].median(1).values.minimum(usual)


def _to_held_out(samples: Vectors, held_out: OtherVectors) -> PerPicture:
    if len(held_out) == 0:
        return samples.new_full((len(samples),), torch.inf)
    return nearest(samples, held_out, 1).distances[:, 0]


def _mann_whitney(found: PerPicture, references: Float[Tensor, " references"]) -> ConfidenceInterval:
    """P(d < reference) + P(d = reference) / 2 over all pairs, with its interval."""
    of_samples, of_references = 1 - _ranks(found, references), _ranks(references, found)
    counts = len(of_samples), len(of_references)
    variance = sum(
        part.var(correction=1 if len(part) > 1 else 0).item() / len(part)
        for part in (of_samples, of_references)
    )
    return share_interval(of_samples.mean().item(), min(counts), variance)


def _ranks(values: PerPicture, among: Float[Tensor, " others"]) -> PerPicture:
    """For each value, the share of the others that is smaller; equal ones count half."""
    ordered = among.sort().values
    below, up_to = (torch.searchsorted(ordered, values.contiguous(), right=right) for right in (False, True))
    return (below + up_to).double() / (2 * len(among))
