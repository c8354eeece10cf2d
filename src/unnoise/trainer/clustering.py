"""Finding the clusters of the pictures that a network is told of, before its first step."""

import torch
from jaxtyping import Float
from torch import Tensor

from unnoise.data.batches import Batches, evenly_spread
from unnoise.diffusion.clusters import SIDE, Clusters, thumbnails
from unnoise.diffusion.diffusion import Diffusion

_MOST, _FEWEST, _MOST_VALUES = 10_000, 4_096, 1_000_000_000
"""How many pictures are clustered: at most 10,000, fewer where these have more than 10^9 values in all, but
never below 4,096.

That is 32 pictures for each of 128 clusters. How many fall into a cluster decides how often it is drawn, so the
counts must not be left to chance.
"""
_AT_ONCE = 32
_ROUNDS = 50

Points = Float[Tensor, "points fields"]
Centres = Float[Tensor, "centres fields"]


def find_clusters(diffusion: Diffusion, batches: Batches) -> None:
    """Fills in the clusters of a network that knows some, in its averages, too.

    A network that started from the weights of another run keeps its centres, and counts its own pictures. One
    that learns from walks draws from the clusters of the run that walks.
    """
    clusters = diffusion.denoiser.abilities.clusters
    if clusters is None or diffusion.walks is not None:
        return
    seen = _seen(batches)
    centres = clusters.centres.float().cpu() if clusters.found else k_means(seen, len(clusters.centres))
    average, profiles = diffusion.weights.average, diffusion.weights.profiles
    for network in (average.source, average.network, *profiles.networks):
        kept = network.clusters
        assert isinstance(kept, Clusters)
        kept.fill(centres, seen)


def _seen(batches: Batches) -> Points:
    """Thumbnails of training pictures; where these are mirrored at random, both ways."""
    values = batches.pictures.take(batches.indices[:1])[0].numel()
    chosen = evenly_spread(batches.indices, min(_MOST, max(_FEWEST, _MOST_VALUES // values)))
    parts = [chosen[first : first + _AT_ONCE] for first in range(0, len(chosen), _AT_ONCE)]
    seen = torch.cat([thumbnails(batches.pictures.take(part)) for part in parts])
    if not batches.flip:
        return seen
    return torch.cat([seen, seen.view(len(seen), -1, SIDE, SIDE).flip(-1).flatten(1)])


def k_means(points: Points, count: int) -> Centres:
    """Centres of clusters by Lloyd's algorithm (1982), begun as by k-means++ (Arthur and Vassilvitskii, 2007).

    Always the same for the same points, with any number of threads. A centre without points stays where it is.

    Args:
        points: at least one.
        count: number of centres, K.

    Returns:
        (K, fields).
    """
    generator = torch.Generator().manual_seed(0)
    centres = points[torch.randint(len(points), (1,), generator=generator)]
    nearest = _squares(points, centres).flatten()
    while len(centres) < count:
        # All points may be centres already: then any is as good.
        chances = nearest if nearest.any() else torch.ones_like(nearest)
        chosen = points[torch.multinomial(chances, 1, generator=generator)]
        centres = torch.cat([centres, chosen])
        nearest = torch.minimum(nearest, _squares(points, chosen).flatten())
    for _ in range(_ROUNDS):
        found = _squares(points, centres).argmin(1)
        sums = torch.zeros_like(centres, dtype=torch.float64).index_add_(0, found, points.double())
        sizes = torch.bincount(found, minlength=count)[:, None]
        moved = torch.where(sizes > 0, sums / sizes.clamp(min=1), centres.double()).float()
        if torch.equal(moved, centres):
            break
        centres = moved
    return centres


def _squares(points: Points, centres: Centres) -> Float[Tensor, "points centres"]:
    return torch.cdist(points, centres, compute_mode="donot_use_mm_for_euclid_dist").square()
