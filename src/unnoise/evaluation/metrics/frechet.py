r"""Two sets of pictures are as far apart as the normal distributions with their means and covariances.

    d^2 = |\mu_x - \mu_y|^2 + tr(\Sigma_x + \Sigma_y - 2 (\Sigma_x \Sigma_y)^{1/2})

(Dowson and Landau, 1982; GANs Trained by a Two Time-Scale Update Rule, 1706.08500, eq. 6.) With Inception's
features it is called FID. The estimate is biased upwards by about c / N, with a c that depends on the model
(1911.07023, section 3): compare only what was measured with equally many pictures, and prefer the kernel
distance where they are few.
"""

import math
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unnoise.diffusion.tensors import Scalar
from unnoise.evaluation.metrics.intervals import Interval, normal_interval
from unnoise.evaluation.metrics.vectors import AnyVectors, PerPicture, Vectors, checked
from unnoise.utils.errors import UnnoiseError

if TYPE_CHECKING:
    from torchmetrics.image.fid import FrechetInceptionDistance

Matrix: TypeAlias = Float[Tensor, "rows columns"]


class _AsTheyAre(nn.Module):
    """The extractor of features that were extracted before."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.num_features = num_features

    def forward(self, features: Vectors) -> Vectors:
        return features


def frechet_distance(features: AnyVectors, others: AnyVectors) -> Scalar:
    """The squared distance above, by torchmetrics, in float64, from (N, d) and (M, d); covariances over N - 1.

    N and M may be smaller than d; rounding then leaves about 1e-7 of the traces. Never below 0.

    Raises:
        UnnoiseError: for fewer than 2 of either, other dimensions, or features that are not finite.
    """
    left, right = checked("Frechet distance", features, others)
    metric = _torchmetrics(left.shape[1]).to(left.device)
    # torchmetrics takes the product of the means off the mean product, which a far-off centre would spoil.
    centre = right.mean(0)
    metric.update(left - centre, real=False)
    metric.update(right - centre, real=True)
    distance: Scalar = metric.compute()
    return distance.clamp(min=0.0)


def frechet_interval(features: AnyVectors, others: AnyVectors) -> Interval:
    r"""`frechet_distance` and its 95 % interval by the delta method. Time grows with min(N, d) min(M, d) d.

    A picture x moves the distance by (the limit law of Rippl, Munk and Sturm, 1507.04090)

        2 (\mu_x - \mu_y) . (x - \mu_x) + (x - \mu_x)^T (1 - T) (x - \mu_x) - its mean,

    where T = \Sigma_x^{-1/2} (\Sigma_x^{1/2} \Sigma_y \Sigma_x^{1/2})^{1/2} \Sigma_x^{-1/2} is the linear map
    that carries one normal distribution to the other; the distance's variance is the sum of theirs over N and
    M. It says how much the choice of pictures matters, and leaves the bias where it is: the interval contains
    the distance of the distributions where these differ and there are many more pictures than dimensions. Where
    they are equal, the estimate is nothing but bias.
    """
    value = frechet_distance(features, others).item()
    left, right = checked("Frechet distance", features, others)
    gap = left.mean(0) - right.mean(0)
    one, two = _Half.of(left), _Half.of(right)
    # (Sigma_x^{1/2} Sigma_y Sigma_x^{1/2})^{1/2} without a root: with Sigma = R^T R, and U S V^T = R_x R_y^T,
    # R_x T = U V^T R_y, so that no covariance is inverted, and singular ones do no harm.
    u, s, vt = torch.linalg.svd(one.root @ two.root.T, full_matrices=False)
    turn = (u * (s > s.max() * 1e-12)) @ vt
    variances = (
        (2 * one.centred @ gap + one.influence(turn @ two.root)).var() / len(left),
        (-2 * two.centred @ gap + two.influence(turn.T @ one.root)).var() / len(right),
    )
    found = normal_interval(value, sum(variance.item() for variance in variances))
    return found._replace(low=max(found.low, 0.0))


class _Half(NamedTuple):
    """One set of the two: centred (N, d) = basis @ root * sqrt(N - 1), and its covariance root^T root."""

    centred: Vectors
    basis: Matrix
    root: Matrix

    @classmethod
    def of(cls, vectors: Vectors) -> "_Half":
        centred = vectors - vectors.mean(0)
        basis, root = torch.linalg.qr(centred / math.sqrt(len(vectors) - 1))
        return cls(centred, basis, root)

    def influence(self, carried: Matrix) -> PerPicture:
        """(x - mu)^T (1 - T) (x - mu) of each vector, where `carried` is root @ T."""
        transported = self.basis @ carried * math.sqrt(len(self.centred) - 1)
        return (self.centred * (self.centred - transported)).sum(1)


def _torchmetrics(num_features: int) -> "FrechetInceptionDistance":
    """Its Frechet distance of vectors that are features already."""
    # Imported here: it takes seconds, and nothing else needs it.
    try:
        from torchmetrics.image.fid import FrechetInceptionDistance
    except (ImportError, RuntimeError) as error:
        raise UnnoiseError(
            f"The Frechet distance needs torchmetrics, which cannot be imported here ({error}), mostly "
            f"because of a torchvision that does not fit this torch; unnoise itself needs no torchvision."
        ) from error
    return FrechetInceptionDistance(feature=_AsTheyAre(num_features))
