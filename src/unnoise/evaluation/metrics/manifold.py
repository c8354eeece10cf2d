r"""Balls around the pictures of one set, out to the k-th neighbour, show how much of the other set they hold.

    precision: the share of generated pictures in a ball of a real one         (1904.06991, eq. 1 and 2)
    recall:    the share of real pictures in a ball of a generated one
    density:   the number of real balls that a generated picture lies in, over k    (2002.09797, section 3.1)
    coverage:  the share of real balls that hold a generated picture                  (2002.09797, section 3.2)

Precision and density ask whether samples look real, recall and coverage whether all of the data is met.
"""

from typing import NamedTuple, TypeAlias

import torch
from jaxtyping import Int
from torch import Tensor

from unnoise.evaluation.metrics.intervals import Interval, normal_interval, share_interval
from unnoise.evaluation.metrics.vectors import (
    AnyVectors,
    OtherVectors,
    PerPicture,
    Vectors,
    checked,
    distances,
    rows_at_once,
)
from unnoise.utils.errors import require

WholeNumbers: TypeAlias = Int[Tensor, " _"]


class Manifold(NamedTuple):
    """The four, each with its interval."""

    precision: Interval
    recall: Interval
    density: Interval
    coverage: Interval


def manifold(real: AnyVectors, generated: AnyVectors, k: int = 5) -> Manifold:
    r"""All four from (N, d) and (M, d), in float64, some distances at a time.

    With two samples of one distribution, density is 1 on average and coverage 1 - \prod_{i=1}^k (N-i)/(N+M-i).
    The intervals leave out one picture at a time, of either set (the jackknife): a picture in a ball counts in
    the mean, and a ball that alone holds some pictures counts by these. For density the balls around it then
    grow to their next neighbour; for the shares they stay as they are, which makes the intervals a little too
    wide, if anything. They are about other samples of N and M pictures: all four numbers change with N, M and
    k.

    Raises:
        UnnoiseError: for fewer than k + 2 of either, other dimensions, or features that are not finite.
    """
    require(k >= 1, f"A ball reaches to its k-th neighbour with k of 1 or more, but got {k}.")
    real, generated = checked(f"manifold of the {k} nearest neighbours", real, generated, least=k + 2)
    real_balls, generated_balls = _Balls.around(real, k), _Balls.around(generated, k)
    in_real, in_generated = _Holding.of(real_balls, generated), _Holding.of(generated_balls, real)
    return Manifold(
        precision=_share(in_real.balls > 0, in_real.alone_in(len(real))),
        recall=_share(in_generated.balls > 0, in_generated.alone_in(len(generated))),
        density=_density(in_real, real_balls),
        coverage=_share(in_real.points > 0, in_real.alone_with(len(generated))),
    )


class _Balls(NamedTuple):
    """One around each vector of a set, out to its k-th neighbour."""

    centres: Vectors
    radii: PerPicture
    next_radii: PerPicture  # to the neighbour after it
    neighbours: Int[Tensor, "pictures k"]

    @classmethod
    def around(cls, vectors: Vectors, k: int) -> "_Balls":
        """A vector is not its own neighbour; the radii are a hair longer against rounding."""
        rows = rows_at_once(len(vectors), len(vectors))
        found = [distances(vectors[some], vectors).topk(k + 2, largest=False) for some in rows]
        hair = 1e-7 * vectors.square().sum(1).mean().sqrt()
        radii = torch.cat([some.values for some in found])[:, k:] + hair
        return cls(vectors, radii[:, 0], radii[:, 1], torch.cat([some.indices for some in found])[:, 1 : k + 1])


class _Holding(NamedTuple):
    """Which balls hold which points, in sums: of the other side's count, and of its indices."""

    balls: WholeNumbers  # of each point: how many balls it lies in
    ball_sums: WholeNumbers  # their indices added up: of a single ball, its index
    points: WholeNumbers  # of each ball: how many points it holds
    point_sums: WholeNumbers

    grown: WholeNumbers  # of each ball: how many it holds out to the next neighbour

    @classmethod
    def of(cls, balls: _Balls, points: OtherVectors) -> "_Holding":
        numbers = torch.arange(len(balls.centres), device=points.device)
        others = torch.arange(len(points), device=points.device)
        lying_in, sums = torch.zeros_like(others), torch.zeros_like(others)
        held: list[Int[Tensor, "three _"]] = []
        for rows in rows_at_once(len(numbers), len(points)):
            table = distances(balls.centres[rows], points)
            inside = table <= balls.radii[rows, None]
            lying_in += inside.sum(0)
            sums += (inside * numbers[rows, None]).sum(0)
            grown = table <= balls.next_radii[rows, None]
            held.append(torch.stack([inside.sum(1), (inside * others).sum(1), grown.sum(1)]))
        return cls(lying_in, sums, *torch.cat(held, 1))

    def alone_in(self, count: int) -> WholeNumbers:
        """For each of the balls, the points that lie in no other."""
        return torch.bincount(self.ball_sums[self.balls == 1], minlength=count)

    def alone_with(self, count: int) -> WholeNumbers:
        """For each of the points, the balls that hold no other."""
        return torch.bincount(self.point_sums[self.points == 1], minlength=count)


def _share(met: Tensor, lost: WholeNumbers) -> Interval:
    """The share that is met, where leaving out a picture of the other set would lose so many."""
    share = met.double().mean().item()
    variance = share * (1 - share) / len(met) + _jackknife(lost.double() / len(met))
    return share_interval(share, len(met), variance)


def _density(holding: _Holding, balls: _Balls) -> Interval:
    k = balls.neighbours.shape[1]
    gained = (holding.grown - holding.points).repeat_interleave(k)
    lost = holding.points.scatter_add(0, balls.neighbours.flatten(), -gained)
    lying_in = holding.balls.double() / k
    variance = lying_in.var().item() / len(lying_in) + _jackknife(lost.double() / (k * len(lying_in)))
    found = normal_interval(lying_in.mean().item(), variance)
    return found._replace(low=max(found.low, 0.0))


def _jackknife(lost: PerPicture) -> float:
    """The variance of an estimate that loses so much when each picture is left out (Efron and Stein, 1981)."""
    return (len(lost) - 1) * lost.var(correction=0).item()
