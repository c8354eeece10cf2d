r"""Posterior q(x_s | x_t, x_0) of the forward process, and log-densities and KL divergences of Gaussians.

For noise levels t > s of any variance-preserving schedule (VDM, 2107.00630, section 2 and appendix A; at
neighbouring steps of a table DDPM, 2006.11239, eq. 6-7):

    alpha_ts = alpha_t / alpha_s,      sigma_ts^2 = sigma_t^2 - alpha_ts^2 sigma_s^2
    q(x_s | x_t, x_0) = N(alpha_ts sigma_s^2 / sigma_t^2 x_t + alpha_s sigma_ts^2 / sigma_t^2 x_0,
                          sigma_ts^2 sigma_s^2 / sigma_t^2)

At neighbouring timesteps alpha_ts^2 = 1 - beta and sigma_ts^2 = beta. The difference of two nearly equal powers
is inaccurate, so it is computed from the log-SNR l: sigma_ts^2 = -expm1(l_t - l_s) sigma_t^2.
"""

import math
from typing import NamedTuple, TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor

from unnoise.diffusion.schedules import RatePair, log_snr
from unnoise.diffusion.tensors import Images, Rates

Nats: TypeAlias = Float[Tensor, " batch"]
"""One number for each image: a divergence or a log-likelihood, summed over its values, in nats."""

Elements: TypeAlias = Float[Tensor, "..."]
"""Values of any shape, broadcast against each other."""


class PosteriorWeights(NamedTuple):
    """The weights of x_t and x_0 in the posterior mean, and the two variances; each (B, 1, 1, 1)."""

    noisy_images: Rates
    images: Rates
    small_variance: Rates
    large_variance: Rates


class Posterior(NamedTuple):
    """Posterior mean (B, C, H, W), and the small and large variance (B, 1, 1, 1).

    `small_variance` is that of the posterior (DDPM's beta tilde), exact if x_0 is known. `large_variance` is
    that of the forward step (beta), exact for data N(0, 1). The optimal variance of a model lies between them.
    """

    mean: Images
    small_variance: Rates
    large_variance: Rates


def posterior_weights(now: RatePair, before: RatePair) -> PosteriorWeights:
    """The posterior's weights and variances for the levels t = now and s = before.

    In the precision of the rates: use float64. `before` may be without noise (s = 0), and `now` without signal
    (t = 1).
    """
    # sigma_ts^2 / sigma_t^2; at both ends the difference is -inf, which gives 1
    forgotten = -torch.expm1(log_snr(*now) - log_snr(*before))
    noise_ratio = before.noise_rates / now.noise_rates
    return PosteriorWeights(
        now.signal_rates / before.signal_rates * noise_ratio.square(),
        before.signal_rates * forgotten,
        forgotten * before.noise_rates.square(),
        forgotten * now.noise_rates.square(),
    )


def posterior(images: Images, noisy_images: Images, now: RatePair, before: RatePair) -> Posterior:
    """The posterior q(x_s | x_t, x_0) for x_0 = images and x_t = noisy_images; see the equations above.

    Args:
        images, noisy_images: (B, C, H, W); the images may be true or predicted.
        now, before: the rates of t and s, each (B, 1, 1, 1), best in float64: the weights are rounded last.
    """
    weights = PosteriorWeights(*(like(values, images) for values in posterior_weights(now, before)))
    mean = weights.noisy_images * noisy_images + weights.images * images
    return Posterior(mean, weights.small_variance, weights.large_variance)


def log_variance_between(variances: Tensor, small: Tensor, large: Tensor) -> Tensor:
    """Learned log-variance v log large + (1 - v) log small (Improved DDPM, 2102.09672, eq. 15)."""
    return torch.lerp(small.log(), large.log(), variances)


def like(values: Tensor, images: Tensor) -> Tensor:
    """The values in the dtype and on the device of the images; the dtype first, as MPS has no float64."""
    return values.to(images.dtype).to(images.device)


def gaussian_kl(mean: Elements, log_variance: Elements, other_mean: Elements, other_log: Elements) -> Elements:
    r"""KL divergence of two Gaussians, KL(N(m1, v1) || N(m2, v2)), in nats, element by element.

    ((v1 / v2 - 1) - log(v1 / v2) + (m1 - m2)^2 / v2) / 2
    """
    log_ratio = log_variance - other_log
    distance = (mean - other_mean).square() * (-other_log).exp()
    return (torch.expm1(log_ratio) - log_ratio + distance) / 2


def gaussian_log_density(values: Elements, means: Elements, stds: Elements) -> Elements:
    """Log-density log N(values; means, stds^2) in nats, element by element."""
    scaled = (values - means) / stds
    return -scaled.square() / 2 - torch.as_tensor(stds).log() - math.log(2 * math.pi) / 2


def discretized_gaussian_log_likelihood(
    lower: Elements, upper: Elements, means: Elements, stds: Elements
) -> Elements:
    r"""Log-probability of the interval between two edges under N(mean, std^2), in nats (DDPM, eq. 13).

        log (Phi((upper - mean) / std) - Phi((lower - mean) / std))

    Element by element. Edges may be infinite: the bins of the values 0 and 255 extend to infinity, so that the
    probabilities of all bins sum to 1. Far to the right of the mean both Phi round to 1; there the interval is
    mirrored to the left, and the logarithms are subtracted.
    """
    low, high = (lower - means) / stds, (upper - means) / stds
    right = low + high > 0
    low, high = torch.where(right, -high, low), torch.where(right, -low, high)
    log_low, log_high = (torch.special.log_ndtr(edges) for edges in (low, high))
    inside: Elements = log_high + torch.log(-torch.expm1(log_low - log_high))
    return inside
