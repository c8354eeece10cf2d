r"""Precision, recall, density and coverage of generated pictures.

Each picture of a set has a ball that reaches to its k-th nearest neighbour in the set:

    precision: the share of generated pictures in a ball of a real one         (1904.06991, eq. 1 and 2)
    recall:    the share of real pictures in a ball of a generated one
    density:   the number of real balls that a generated picture lies in, over k    (2002.09797, section 3.1)
    coverage:  the share of real balls that hold a generated picture                  (2002.09797, section 3.2)

Precision and density measure realism, recall and coverage diversity.
"""

from typing import NamedTuple, TypeAlias

import torch
from jaxtyping import Int
from torch import Tensor

from unnoise.evaluation.metrics.confidence_intervals import ConfidenceInterval, normal_interval, share_interval
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


class ManifoldMetrics(NamedTuple):
    """Precision, recall, density and coverage, each with its 95 % interval."""

    precision: ConfidenceInterval
    recall: ConfidenceInterval
    density: ConfidenceInterval
    coverage: ConfidenceInterval


def manifold_metrics(real: AnyVectors, generated: AnyVectors, k: int = 5) -> ManifoldMetrics:
    r"""Precision, recall, density and coverage from (N, d) and (M, d), in float64, in blocks of rows.

    With two samples of one distribution, density is 1 on average and coverage 1 - \prod_{i=1}^k (N-i)/(N+M-i).
    The intervals are jackknife estimates that leave out one picture of either set at a time. Without a picture,
    the points that lie in its ball only are lost. For density, the balls that end at this picture then grow to
    their next neighbour; for the other three they are kept, which makes the intervals slightly too wide. The
    intervals hold for other samples of N and M pictures: all four metrics depend on N, M and k.

    Raises:
        UnnoiseError: for fewer than k + 2 of either, other dimensions, or features that are not finite.
    """
    require(k >= 1, f"Precision and recall need k >= 1 nearest neighbours, but got k = {k}. Try 5.")
    real, generated = checked(f"precision with {k} nearest neighbours", real, generated, least=k + 2)
    real_balls, generated_balls = _Balls.around(real, k), _Balls.around(generated, k)
    generated_in_real, real_in_generated = (
        _Containment.of(real_balls, generated),
        _Containment.of(generated_balls, real),
    )
    return ManifoldMetrics(
        precision=_share(generated_in_real.balls > 0, generated_in_real.only_ball_counts(len(real))),
        recall=_share(real_in_generated.balls > 0, real_in_generated.only_ball_counts(len(generated))),
        density=_density(generated_in_real, real_balls),
        coverage=_share(generated_in_real.points > 0, generated_in_real.only_point_counts(len(generated))),
    )


class _Balls(NamedTuple):
    """Balls around the vectors of a set, with the distance to the k-th neighbour as radius."""

    centres: Vectors
    radii: PerPicture
    next_radii: PerPicture  # to the neighbour after it
    neighbours: Int[Tensor, "pictures k"]

    @classmethod
    def around(cls, vectors: Vectors, k: int) -> "_Balls":
        """A vector is not its own neighbour; radii are 1e-7 of the vectors' length longer, against rounding."""
        rows = rows_at_once(len(vectors), len(vectors))
        found = [distances(vectors[some], vectors).topk(k + 2, largest=False) for some in rows]
        margin = 1e-7 * vectors.square().sum(1).mean().sqrt()
        radii = torch.cat([some.values for some in found])[:, k:] + margin
        return cls(vectors, radii[:, 0], radii[:, 1], torch.cat([some.indices for some in found])[:, 1 : k + 1])


class _Containment(NamedTuple):
    """Which balls contain which points, as counts and as sums of indices."""

    balls: WholeNumbers  # for each point, the number of balls that contain it
    ball_sums: WholeNumbers  # the sum of their indices: where there is one ball, its index
    points: WholeNumbers  # for each ball, the number of points in it
    point_sums: WholeNumbers
    grown: WholeNumbers  # for each ball, the number of points in it with the next neighbour's radius

    @classmethod
    def of(cls, balls: _Balls, points: OtherVectors) -> "_Containment":
        numbers = torch.arange(len(balls.centres), device=points.device)
        others = torch.arange(len(points), device=points.device)
        ball_counts, sums = torch.zeros_like(others), torch.zeros_like(others)
        held: list[Int[Tensor, "three _"]] = []
        for rows in rows_at_once(len(numbers), len(points)):
            table = distances(balls.centres[rows], points)
            inside = table <= balls.radii[rows, None]
            ball_counts += inside.sum(0)
            sums += (inside * numbers[rows, None]).sum(0)
            grown = table <= balls.next_radii[rows, None]
            held.append(torch.stack([inside.sum(1), (inside * others).sum(1), grown.sum(1)]))
        return cls(ball_counts, sums, *torch.cat(held, 1))

    def only_ball_counts(self, count: int) -> WholeNumbers:
        """For each of `count` balls, the number of points that lie in no other."""
        return torch.bincount(self.ball_sums[self.balls == 1], minlength=count)

    def only_point_counts(self, count: int) -> WholeNumbers:
        """For each of `count` points, the number of balls that contain no other."""
        return torch.bincount(self.point_sums[self.points == 1], minlength=count)


def _share(met: Tensor, lost: WholeNumbers) -> ConfidenceInterval:
    """The share that is met; `lost` is how many would not be without each picture of the other set."""
    share = met.double().mean().item()
    variance = share * (1 - share) / len(met) + _jackknife(lost.double() / len(met))
    return share_interval(share, len(met), variance)


def _density(holding: _Containment, balls: _Balls) -> ConfidenceInterval:
    k = balls.neighbours.shape[1]
    gained = (holding.grown - holding.points).repeat_interleave(k)
    lost = holding.points.scatter_add(0, balls.neighbours.flatten(), -gained)
    ball_counts = holding.balls.double() / k
    variance = ball_counts.var().item() / len(ball_counts) + _jackknife(lost.double() / (k * len(ball_counts)))
    found = normal_interval(ball_counts.mean().item(), variance)
    return found._replace(low=max(found.low, 0.0))


def _jackknife(lost: PerPicture) -> float:
    """Jackknife variance of an estimate that falls by `lost` without each picture (Efron and Stein, 1981)."""
    return (len(lost) - 1) * lost.var(correction=0).item()
