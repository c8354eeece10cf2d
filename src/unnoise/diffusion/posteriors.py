r"""Between two noise levels everything is Gaussian, so one step has a mean and two natural variances.

For levels t > s of any variance-preserving schedule (VDM, 2107.00630, section 2 and appendix A; at neighbouring
steps of a table DDPM, 2006.11239, eq. 6-7):

    alpha_ts = alpha_t / alpha_s,      sigma_ts^2 = sigma_t^2 - alpha_ts^2 sigma_s^2
    q(x_s | x_t, x_0) = N(alpha_ts sigma_s^2 / sigma_t^2 x_t + alpha_s sigma_ts^2 / sigma_t^2 x_0,
                          sigma_ts^2 sigma_s^2 / sigma_t^2)

At neighbouring steps alpha_ts^2 = 1 - beta and sigma_ts^2 = beta. The difference of two powers close to each
other would lose its digits, so it is taken from the log-SNR l: sigma_ts^2 = -expm1(l_t - l_s) sigma_t^2.
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
"""Values of any shape; shapes are broadcast."""


class Weights(NamedTuple):
    """What a step from t to s does to x_t and x_0, and how far it may spread; each (B, 1, 1, 1)."""

    noisy_images: Rates
    images: Rates
    small_variance: Rates
    large_variance: Rates


class Posterior(NamedTuple):
    """The step from t to s of images: mean (B, C, H, W), and the variances (B, 1, 1, 1) to choose from.

    `small_variance` is the posterior's own (DDPM's beta tilde), right where x_0 is known. `large_variance` is
    that of the forward step (beta), right for data of variance 1. The best for a model lies between them.
    """

    mean: Images
    small_variance: Rates
    large_variance: Rates


def posterior_weights(now: RatePair, before: RatePair) -> Weights:
    """The equations above, in the precision of the rates (take float64), for the levels t = now, s = before.

    Both ends are fine: `before` without noise (s = 0) and `now` without signal (t = 1).
    """
    # sigma_ts^2 / sigma_t^2; minus infinity, at both ends, gives 1
    forgotten = -torch.expm1(log_snr(*now) - log_snr(*before))
    noise_ratio = before.noise_rates / now.noise_rates
    return Weights(
        now.signal_rates / before.signal_rates * noise_ratio.square(),
        before.signal_rates * forgotten,
        forgotten * before.noise_rates.square(),
        forgotten * now.noise_rates.square(),
    )


def posterior(images: Images, noisy_images: Images, now: RatePair, before: RatePair) -> Posterior:
    """q(x_s | x_t, x_0) for x_0 = images and x_t = noisy_images; see the equations above.

    Args:
        images, noisy_images: (B, C, H, W); the images may be true or predicted.
        now, before: the rates of t and s, each (B, 1, 1, 1), best in float64: they are rounded last.
    """
    weights = Weights(*(like(values, images) for values in posterior_weights(now, before)))
    mean = weights.noisy_images * noisy_images + weights.images * images
    return Posterior(mean, weights.small_variance, weights.large_variance)


def log_variance_between(variances: Tensor, small: Tensor, large: Tensor) -> Tensor:
    """V log large + (1 - v) log small, for the v that a network learned (Improved DDPM, 2102.09672, eq. 15)."""
    return torch.lerp(small.log(), large.log(), variances)


def like(values: Tensor, images: Tensor) -> Tensor:
    """The values in the precision and on the device of the images; rounded first, as MPS has no float64."""
    return values.to(images.dtype).to(images.device)


def gaussian_kl(mean: Elements, log_variance: Elements, other_mean: Elements, other_log: Elements) -> Elements:
    r"""KL(N(m1, v1) || N(m2, v2)) in nats, element by element; the last two arguments are the second one's.

    ((v1 / v2 - 1) - log(v1 / v2) + (m1 - m2)^2 / v2) / 2
    """
    log_ratio = log_variance - other_log
    distance = (mean - other_mean).square() * (-other_log).exp()
    return (torch.expm1(log_ratio) - log_ratio + distance) / 2


def gaussian_log_density(values: Elements, means: Elements, stds: Elements) -> Elements:
    """Log N(values; means, stds^2) in nats, element by element."""
    scaled = (values - means) / stds
    return -scaled.square() / 2 - torch.as_tensor(stds).log() - math.log(2 * math.pi) / 2


def discretized_gaussian_log_likelihood(
    lower: Elements, upper: Elements, means: Elements, stds: Elements
) -> Elements:
    r"""Log of what N(mean, std^2) holds between two edges, in nats, element by element (DDPM, eq. 13).

        log (Phi((upper - mean) / std) - Phi((lower - mean) / std))

    An edge may be infinite: the bins of 0 and 255 have open tails, so that all bins together hold 1. Far from
    the mean both Phi are 1 to rounding; so the bin is mirrored to the left, and the logs are subtracted.
    """
    low, high = (lower - means) / stds, (upper - means) / stds
    right = low + high > 0
    low, high = torch.where(right, -high, low), torch.where(right, -low, high)
    log_low, log_high = (torch.special.log_ndtr(edges) for edges in (low, high))
    inside: Elements = log_high + torch.log(-torch.expm1(log_low - log_high))
    return inside
