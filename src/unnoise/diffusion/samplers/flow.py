r"""Of the probability flow only the noise has to be known: the better its mean over a step, the fewer steps.

With y = x_t / alpha and the ratio r = sigma / alpha (DDIM, 2010.02502, eq. 14):

    dy / dr = eps(x_t, t),      so that exactly      y_{t'} = y_t + (r' - r) * (mean of eps over the step)

DDIM takes eps where the step starts for its mean, which is right to first order. `multistep` adds what was
seen in the steps before, `second_order` looks ahead; both are right to second order.
"""

from unnoise.diffusion.tensors import Images, Prediction, Rates


def along(
    mean: Images, prediction: Prediction, noisy_images: Images, noise_rates: Rates, signal_rates: Rates
) -> Prediction:
    """The prediction whose noises are the mean of eps, and whose images mix with it to the same x_t."""
    return prediction._replace(noises=mean, images=(noisy_images - noise_rates * mean) / signal_rates)
