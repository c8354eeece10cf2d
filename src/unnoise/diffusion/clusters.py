"""Clusters of pictures that look alike: what a network is told in place of classes where there are no labels.

Pictures of one kind are easier to learn than all kinds at once, and a network that is told the kind need not
find it in noise (cluster conditioning, 2403.00570). Clusters are found by k-means of thumbnails: the means of
SIDE x SIDE fields of a picture, in each channel.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from unnoise.diffusion.tensors import Classes, SomePixels

SIDE = 8
"""Fields of a thumbnail, in each direction."""
_WORD = 64
_GOLDEN = 0x9E3779B97F4A7C15
"""2^64 divided by the golden ratio, whose multiples are spread evenly (Knuth, volume 3, section 6.4)."""


def thumbnails(pictures: SomePixels | Float[Tensor, "_ channels height width"]) -> Float[Tensor, "_ fields"]:
    """The mean of each field, in levels from 0 to 255: (B, channels * SIDE^2).

    Of pictures with transparency, 2 or 4 channels, colours count as much as they cover.

    Args:
        pictures: (B, C, H, W), uint8, or floats in [0, 1].
    """
    # Not every backend can average fields of unequal size, and these are small.
    pictures = pictures.cpu() if pictures.device.type == "mps" else pictures
    values, most = pictures.float(), 1 if pictures.is_floating_point() else 255
    if values.shape[1] in (2, 4):  # nobody sees the colours of what is transparent
        colours, cover = values[:, :-1], values[:, -1:]
        values = torch.cat([colours * cover / most, cover], dim=1)
    return 255 / most * functional.adaptive_avg_pool2d(values, SIDE).flatten(1)


class Clusters(nn.Module):
    """The centres of clusters, and how many pictures each has; a part of the network that is told of them.

    Bytes and counts, so that averages of weights leave them as they are. Until they are filled in, all pictures
    are of the first cluster.

    Args:
        channels: of the pictures.
        count: number of clusters, K.
    """

    centres: Tensor
    counts: Tensor

    def __init__(self, channels: int, count: int) -> None:
        super().__init__()
        self.register_buffer("centres", torch.zeros(count, channels * SIDE**2, dtype=torch.uint8))
        self.register_buffer("counts", (torch.arange(count) == 0).long())

    def of(self, pictures: SomePixels | Float[Tensor, "_ channels height width"]) -> Classes:
        """The cluster of each picture (B, C, H, W), uint8 or in [0, 1]: that of the nearest centre, (B,)."""
        return self.nearest(thumbnails(pictures).to(self.centres.device))

    def nearest(self, seen: Float[Tensor, "_ fields"]) -> Classes:
        """The same for thumbnails, (B, channels * SIDE^2)."""
        # Exact differences: a picture's cluster must not depend on which others are asked for with it.
        return torch.cdist(seen, self.centres.float(), compute_mode="donot_use_mm_for_euclid_dist").argmin(1)

    def of_seeds(self, seeds: Sequence[int]) -> Classes:
        """The cluster that the picture of each seed is drawn from, (B,): each as often as it has pictures.

        With N_k pictures in the first k clusters and N in all, seed s has the first k with

            frac(s / golden ratio) < N_k / N

        which for many seeds in a row comes nearer to these shares than chance would.
        """
        ends = self.counts.cpu().cumsum(0)
        total = int(ends[-1])
        places = [((int(seed) * _GOLDEN) % (1 << _WORD)) * total >> _WORD for seed in seeds]
        found = torch.searchsorted(ends, torch.tensor(places, dtype=ends.dtype), right=True)
        return found.to(self.centres.device)

    def surprise(self, classes: Classes) -> Float[Tensor, " _"]:
        """-log p(k) of the cluster of each picture in nats, (B,): what it takes to say which one it is."""
        chances = self.counts.clamp(min=1) / self.counts.sum()
        return -chances.log()[classes]

    @property
    def found(self) -> bool:
        """Whether they are filled in."""
        return bool(self.centres.any())

    def fill(self, centres: Float[Tensor, "clusters fields"], seen: Float[Tensor, "_ fields"]) -> None:
        """Takes over centres that were found, and counts the pictures with these thumbnails."""
        self.centres.copy_(centres.round().clamp(0, 255))
        found = self.nearest(seen.to(self.centres.device)).cpu()
        self.counts.copy_(torch.bincount(found, minlength=len(self.counts)))

    def same_as(self, other: "Clusters | None") -> bool:
        """Whether the others are the same."""
        return other is not None and torch.equal(self.centres.cpu(), other.centres.cpu())
