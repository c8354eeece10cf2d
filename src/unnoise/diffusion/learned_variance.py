r"""Loss of a learned variance: the variational term of Improved DDPM's hybrid loss.

    L_hybrid = L_simple + 0.001 L_vlb,    L_vlb = T E_k KL(q(x_{k-1} | x_k, x_0) || p(x_{k-1} | x_k))
                                                            (Improved DDPM, 2102.09672, eq. 16)

The mean inside L_vlb has no gradient, so this loss trains the variance alone. The last step of sampling adds no
noise, so its variance is not trained.
"""

import math

import torch

from unnoise.diffusion.posteriors import gaussian_kl, like, log_variance_between, posterior_weights
from unnoise.diffusion.schedules import DiscreteSchedule
from unnoise.diffusion.tensors import Images, PerImage, Prediction, Rates, in_float64
from unnoise.utils.errors import require

_WEIGHT = 1e-3


def variance_loss(
    prediction: Prediction, images: Images, noise_rates: Rates, signal_rates: Rates, schedule: DiscreteSchedule
) -> PerImage:
    """0.001 T KL in bits per dimension of each image, (B,), for the true `images` (B, C, H, W)."""
    require(
        prediction.variances is not None, "This network predicts no variance. Build it with learned_variance."
    )
    assert prediction.variances is not None
    steps = in_float64(schedule.timesteps_of(noise_rates, signal_rates))
    now, before = (schedule((steps + one) / schedule.num_timesteps) for one in (1, 0))
    weights = posterior_weights(now, before)
    first = steps == 0
    small, large = (
        like(variance.masked_fill(first, 1.0), images)
        for variance in (weights.small_variance, weights.large_variance)
    )
    chosen = log_variance_between(prediction.variances, small, large)
    means = like(weights.images, images) * (images - prediction.images).detach()
    divergence = gaussian_kl(means, small.log(), torch.zeros_like(means), chosen)
    bits = divergence.masked_fill(first.to(divergence.device), 0.0).flatten(1).mean(1) / math.log(2)
    return _WEIGHT * schedule.num_timesteps * bits
