r"""Samples that lie much nearer to training pictures than unseen pictures do were learned by heart.

The distance d of a sample to its nearest training picture is held against what is usual:

    d < c min(m, l),      m: the median distance of unseen pictures to their nearest training picture
                          l: the median distance of the sample to its 2nd to 11th nearest training pictures

The first alone would blame smooth samples, and those of a dense class, which lie near to all. The second alone
is that of Yoon et al. (Diffusion probabilistic models generalize when they fail to memorize, 2023), c = 1/3,
who take the 2nd nearest only and so miss pictures that the data has twice. The scale of the vectors does not
matter.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from unnoise.evaluation.metrics.intervals import Interval, share_interval
from unnoise.evaluation.metrics.vectors import AnyVectors, OtherVectors, PerPicture, Vectors, checked, nearest
from unnoise.utils.errors import require

_NEIGHBOURS = 11  # so many that the median survives a few near-copies within the data
_FEWEST_HELD_OUT = 20
_REFERENCES = 2000
_NEAR = 1 / 3
_NEARER = 1 / 10  # where unseen pictures are near-copies themselves, the limit must not vanish
_CHANCE = 0.005


@dataclass(frozen=True)
class Copying:
    """What tells copies from samples: an entry for each of them, in `references` for each unseen picture."""

    distances: PerPicture
    """To the nearest training vector."""
    nearest: Int[Tensor, " pictures"]
    """Its index; of equal training vectors the first."""
    second: PerPicture
    """The distance to the next training vector that is not equal to the nearest."""
    held_out: PerPicture
    """The distance to the nearest held-out vector; infinite where there is none."""
    references: Float[Tensor, " references"]
    """How far unseen pictures are from their nearest training vector."""
    from_held_out: bool
    """Whether the unseen pictures are the held-out ones, or training pictures, each without itself."""
    ratios: PerPicture
    """`distances` over the median of `references`."""
    copies: Bool[Tensor, " pictures"]
    """Which samples are copies."""
    copied: Interval
    """Their share."""
    index: Interval
    """How probably a sample is nearer to training than an unseen picture is: 0.5 is healthy, 1 is copied."""


def copying(samples: AnyVectors, training: AnyVectors, held_out: AnyVectors) -> Copying:
    """The numbers of memorisation from (N, d), (M, d) and (L, d); L may be 0. Vectors are pixels or features.

    With 20 held-out pictures or more, those are the unseen ones; else training pictures are, each of which is
    left out once (up to 2,000, evenly spread). Those that are equal to a training picture tell nothing, and do
    not count. c above is 1/3, or so much less, down to 1/10, that it blames at most 1 in 200 unseen pictures.

    `copied` is a share with Wilson's interval, `index` the Mann-Whitney statistic with the variance of DeLong
    et al. (1988), both given the training pictures.

    Raises:
        UnnoiseError: for no samples, fewer than 3 different training vectors, other dimensions, or features
            that are not finite.
    """
    samples, training, held_out = checked("search for copies", samples, training, held_out, least=0)
    require(len(samples) > 0, "Copies are looked for among samples, but got 0 of them.")
    different, first = _different(training)
    require(
        len(different) >= 3,
        f"Copies are told from chance by the training pictures around, so that there must be 3 different ones, "
        f"but got {len(different)}.",
    )
    near = nearest(samples, different, _NEIGHBOURS)
    unseen, from_held_out = _unseen(held_out, different)
    references = unseen[:, 0]
    usual = references.median()
    limit = _closeness(unseen, usual).quantile(_CHANCE).clamp(_NEARER, _NEAR)
    found = near.distances[:, 0]
    copies = _closeness(near.distances, usual) < limit
    return Copying(
        distances=found,
        nearest=first[near.indices[:, 0]],
        second=near.distances[:, 1],
        held_out=_to_held_out(samples, held_out),
        references=references,
        from_held_out=from_held_out,
        ratios=found / usual,
        copies=copies,
        copied=share_interval(copies.double().mean().item(), len(copies)),
        index=_nearer(found, references),
    )


def _different(vectors: Vectors) -> tuple[Float[Tensor, "different dimensions"], Int[Tensor, " different"]]:
    """Each vector once, and where it came first."""
    once, which = torch.unique(vectors, dim=0, return_inverse=True)
    places = torch.arange(len(vectors), device=vectors.device)
    first = torch.full((len(once),), len(vectors), device=vectors.device).scatter_reduce(
        0, which, places, "amin"
    )
    return once, first


def _unseen(held_out: Vectors, training: OtherVectors) -> tuple[Float[Tensor, "references nearest"], bool]:
    """How far unseen pictures are from training vectors, and whether they are the held-out ones."""
    found = nearest(held_out, training, _NEIGHBOURS).distances
    found = found[found[:, 0] > 0]
    if len(found) >= _FEWEST_HELD_OUT:
        return found, True
    step = -(-len(training) // _REFERENCES)
    # The nearest of all is the training vector itself.
    return nearest(training[::step], training, _NEIGHBOURS + 1).distances[:, 1:], False


def _closeness(found: Float[Tensor, "pictures nearest"], usual: Tensor) -> PerPicture:
    """The distance over min(m, l), as above."""
    return found[:, 0] / found[:, 1:].median(1).values.minimum(usual)


def _to_held_out(samples: Vectors, held_out: OtherVectors) -> PerPicture:
    if len(held_out) == 0:
        return samples.new_full((len(samples),), torch.inf)
    return nearest(samples, held_out, 1).distances[:, 0]


def _nearer(found: PerPicture, references: Float[Tensor, " references"]) -> Interval:
    """P(d < reference) + P(d = reference) / 2, over all pairs."""
    of_samples, of_references = 1 - _ranks(found, references), _ranks(references, found)
    counts = len(of_samples), len(of_references)
    variance = sum(
        part.var(correction=1 if len(part) > 1 else 0).item() / len(part)
        for part in (of_samples, of_references)
    )
    return share_interval(of_samples.mean().item(), min(counts), variance)


def _ranks(values: PerPicture, among: Float[Tensor, " others"]) -> PerPicture:
    """The share of the others that is smaller; equal ones count half."""
    ordered = among.sort().values
    below, up_to = (torch.searchsorted(ordered, values.contiguous(), right=right) for right in (False, True))
    return (below + up_to).double() / (2 * len(among))
