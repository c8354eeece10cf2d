"""Ancestral sampler of DDPM (Ho et al., 2006.11239), on any schedule and any time steps."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from unnoise.diffusion.posteriors import like, log_variance_between, posterior_weights
from unnoise.diffusion.sampler_names import Variance
from unnoise.diffusion.samplers.grid import Times, gaussian, rates_at, time_grid
from unnoise.diffusion.schedules import RatePair, Schedule
from unnoise.diffusion.tensors import Denoise, Images, Prediction
from unnoise.utils.errors import require


def ancestral(
    denoise: Denoise,
    noises: Images,
    num_steps: int,
    schedule: Schedule,
    *,
    variance: Variance = "small",
    times: Times | None = None,
    draw_noises: Callable[[], Images] | None = None,
) -> Iterator[Prediction]:
    r"""Ancestral sampler (DDPM, 2006.11239, algorithm 2 and eq. 7).

        x_s = a x_t + b x_0 + sqrt(variance) z,      z ~ N(0, 1), and none in the last step

    with the weights a and b of q(x_s | x_t, x_0) (see `posteriors`). One call of `denoise` a step; its eps is
    not used. Where x_0 and eps mix to x_t, `small` equals DDIM with eta = 1, and `large` the same with its
    `large_variance`.

    Args:
        denoise, noises, num_steps, schedule, times, draw_noises: as for `ddim`.
        variance: `small` is the posterior's (beta tilde), `large` the forward step's (beta); `learned` lies
            between them, at v = `Prediction.variances` (Improved DDPM, 2102.09672, eq. 15):
            exp(v log large + (1 - v) log small).

    Yields:
        `Prediction(noises, images)`, each (B, C, H, W), num_steps times. The images of the last are the result.

    Raises:
        UnnoiseError: for num_steps < 1, or a learned variance with a network that does not predict one.
    """
    grid = time_grid(num_steps, schedule, times)
    draw = draw_noises or gaussian(noises)
    noisy_images = noises
    for step in range(num_steps):
        with torch.no_grad():
            prediction = denoise(noisy_images, *rates_at(grid, step, noises))
        yield prediction
        if step + 1 < num_steps:
            with torch.no_grad():
                now, before = (RatePair(*(rates[k : k + 1] for rates in grid)) for k in (step, step + 1))
                kept, added, small, large = (like(w, noises) for w in posterior_weights(now, before))
                spread = _chosen_variance(variance, small, large, prediction).sqrt()
                noisy_images = kept * noisy_images + added * prediction.images + spread * draw()


def _chosen_variance(variance: Variance, small: Tensor, large: Tensor, prediction: Prediction) -> Tensor:
    match variance:
        case "small":
            return small
        case "large":
            return large
        case "learned":
            require(
                prediction.variances is not None,
                "This network predicts no variance: take small or large, or train with learned_variance.",
            )
            assert prediction.variances is not None
            return log_variance_between(prediction.variances, small, large).exp()
