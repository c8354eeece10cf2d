r"""Fréchet distance (FID) between two sets of feature vectors.

    d^2 = |\mu_x - \mu_y|^2 + tr(\Sigma_x + \Sigma_y - 2 (\Sigma_x \Sigma_y)^{1/2})

(Dowson and Landau, 1982; GANs Trained by a Two Time-Scale Update Rule, 1706.08500, eq. 6.) With Inception's
features it is called FID. It is the 2-Wasserstein distance of the normal distributions with the sets' means and
covariances. The estimate is biased upwards by about c / N, with a c that depends on the model (1911.07023,
section 3): compare only distances of equally many pictures, and prefer the kernel distance for few pictures.
"""

import math
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unnoise.diffusion.tensors import Scalar
from unnoise.evaluation.metrics.confidence_intervals import ConfidenceInterval, normal_interval
from unnoise.evaluation.metrics.vectors import AnyVectors, PerPicture, Vectors, checked
from unnoise.utils.errors import UnnoiseError

if TYPE_CHECKING:
    from torchmetrics.image.fid import FrechetInceptionDistance

Matrix: TypeAlias = Float[Tensor, "rows columns"]


class _Identity(nn.Module):
    """Extractor for torchmetrics that returns its input, which already consists of features."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.num_features = num_features

    def forward(self, features: Vectors) -> Vectors:
        return features


def frechet_distance(features: AnyVectors, others: AnyVectors) -> Scalar:
    """Squared Fréchet distance by torchmetrics, in float64, from (N, d) and (M, d); covariances over N - 1.

    N and M may be smaller than d; rounding errors are then about 1e-7 of the traces. Never negative.

    Raises:
        UnnoiseError: for fewer than 2 of either, other dimensions, or features that are not finite.
    """
    left, right = checked("Fréchet distance", features, others)
    metric = _torchmetrics(left.shape[1]).to(left.device)
    # torchmetrics subtracts the product of the means from the mean product: inaccurate far from 0.
    centre = right.mean(0)
    metric.update(left - centre, real=False)
    metric.update(right - centre, real=True)
    distance: Scalar = metric.compute()
    return distance.clamp(min=0.0)


def frechet_interval(features: AnyVectors, others: AnyVectors) -> ConfidenceInterval:
    r"""Squared Fréchet distance with its 95 % interval by the delta method.

    The influence of a picture x on the distance is (limit law of Rippl, Munk and Sturm, 1507.04090)

        2 (\mu_x - \mu_y) . (x - \mu_x) + (x - \mu_x)^T (1 - T) (x - \mu_x) - its mean,

    where T = \Sigma_x^{-1/2} (\Sigma_x^{1/2} \Sigma_y \Sigma_x^{1/2})^{1/2} \Sigma_x^{-1/2} is the linear map
    that transports one normal distribution to the other. The variance of the distance is the sum of the
    influences' variances over N and M. It accounts for the choice of pictures, but not for the bias: the
    interval contains the distance of the distributions where these differ and there are many more pictures than
    dimensions. Where the distributions are equal, the estimate consists of bias only. Time grows with
    min(N, d) min(M, d) d.
    """
    value = frechet_distance(features, others).item()
    left, right = checked("Fréchet distance", features, others)
    gap = left.mean(0) - right.mean(0)
    one, two = _Factors.of(left), _Factors.of(right)
    # (Sigma_x^{1/2} Sigma_y Sigma_x^{1/2})^{1/2} without a root: with Sigma = R^T R, and U S V^T = R_x R_y^T,
    # R_x T = U V^T R_y. No covariance is inverted, so singular ones are allowed.
    u, s, vt = torch.linalg.svd(one.root @ two.root.T, full_matrices=False)
    rotation = (u * (s > s.max() * 1e-12)) @ vt
    variances = (
        (2 * one.centred @ gap + one.influence(rotation @ two.root)).var() / len(left),
        (-2 * two.centred @ gap + two.influence(rotation.T @ one.root)).var() / len(right),
    )
    found = normal_interval(value, sum(variance.item() for variance in variances))
    return found._replace(low=max(found.low, 0.0))


class _Factors(NamedTuple):
    """QR factors of one set: centred (N, d) = basis @ root * sqrt(N - 1), with the covariance root^T root."""

    centred: Vectors
    basis: Matrix
    root: Matrix

    @classmethod
    def of(cls, vectors: Vectors) -> "_Factors":
        centred = vectors - vectors.mean(0)
        basis, root = torch.linalg.qr(centred / math.sqrt(len(vectors) - 1))
        return cls(centred, basis, root)

    def influence(self, mapped: Matrix) -> PerPicture:
        """(x - mu)^T (1 - T) (x - mu) of each vector, where `mapped` is root @ T."""
        transported = self.basis @ mapped * math.sqrt(len(self.centred) - 1)
        return (self.centred * (self.centred - transported)).sum(1)


def _torchmetrics(num_features: int) -> "FrechetInceptionDistance":
    """The metric of torchmetrics, on vectors that are features already."""
    # Imported here because it takes seconds.
    try:
        from torchmetrics.image.fid import FrechetInceptionDistance
    except (ImportError, RuntimeError) as error:
        raise UnnoiseError(
            f"The Fréchet distance needs torchmetrics, which cannot be imported ({error}). The usual cause is "
            f"a torchvision that does not fit this PyTorch: update it, or remove it (unnoise does not need it)."
        ) from error
    return FrechetInceptionDistance(feature=_Identity(num_features))
