"""UniPC sampler: unified predictor-corrector (Zhao et al., 2302.04867)."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence

import torch

from unnoise.diffusion.samplers.adams_bashforth import has_signal
from unnoise.diffusion.samplers.grid import Times, rates_at, time_grid
from unnoise.diffusion.samplers.polynomials import (
    exponential_moments,
    polynomial_weights,
    require_order,
    weighted_sum,
)
from unnoise.diffusion.schedules import OffsetCosine, Schedule, log_snr
from unnoise.diffusion.tensors import Denoise, Images, Prediction, Rates, mix

StepImages = tuple[int, Images]
"""A step, and the images predicted in it."""


def unipc(
    denoise: Denoise,
    noises: Images,
    num_steps: int = 20,
    schedule: Schedule = OffsetCosine(),  # noqa: B008 (frozen)
    *,
    order: int = 3,
    times: Times | None = None,
    draw_noises: Callable[[], Images] | None = None,
) -> Iterator[Prediction]:
    r"""UniPC-p sampler for predicted images, multistep, with B(h) = 1 - e^{-h} (2302.04867, section 3).

        x_{t'} = sigma' / sigma x_t + alpha' (1 - e^{-h}) D,      h = half the log-SNR that the step gains
        D = \int e^{l} x_0(l) dl / \int e^{l} dl,      l from half the log-SNR at t to that at t'

    where x_0(l) is the polynomial through the images predicted in this step and the p - 1 before. After the
    next call the step is corrected (UniC-p): it is taken once more with the polynomial also through the images
    predicted at its end. These images are used for the next step too, so there is one call of `denoise` a step.
    Where the polynomial has only one image x_0(l_j) besides the step's own x_0(l_t), the paper sets a_1 = 1/2,
    and D = x_0(l_t) + h / 2 (x_0(l_j) - x_0(l_t)) / (l_j - l_t).

    Of order p + 1 on grids whose first and last steps are small. Elsewhere the lower orders of the first and
    last steps count: the order is p, p - 1, ..., 1 in the last p steps, and 1 in a step that ends without
    noise.

    Args:
        denoise, noises, num_steps, schedule, times: as for `ddim`.
        order: p, from 1 to 3.
        draw_noises: not used: the sampler is deterministic. All samplers have this argument.

    Yields:
        `Prediction(noises, images)`, each (B, C, H, W), num_steps times: D, and the noises that mix with it to
        the corrected x_t. The images of the last are the result.

    Raises:
        UnnoiseError: for num_steps < 1, or an order outside 1 ... 3.
    """
    require_order(order, 3, "unipc")
    grid = time_grid(num_steps, schedule, times)
    places = (log_snr(*grid) / 2).flatten().tolist()
    orders = [
        1 if noise.item() == 0 else min(order, left)
        for noise, left in zip(grid.noise_rates[1:], range(num_steps, 0, -1), strict=True)
    ]
    noisy_images, noisy_images_before, predicted = noises, noises, deque[StepImages](maxlen=order)
    for step in range(num_steps):
        # The yield is outside of no_grad: a mode set inside a generator would stay set for its caller.
        with torch.no_grad():
            rates = rates_at(grid, step, noises)
            prediction = denoise(noisy_images, *rates)
            if predicted:  # the corrector
                used = [*list(predicted)[-orders[step - 1] :], (step, prediction.images)]
                images = _mean_images(places, step - 1, used)
                eps = _noises_of(images, noisy_images_before, *rates_at(grid, step - 1, noises))
                noisy_images = mix(images, eps, *rates)
            if has_signal(grid, step):
                predicted.append((step, prediction.images))
            used = list(predicted)[-orders[step] :] or [(step, prediction.images)]
            images = _mean_images(places, step, used)
            prediction = prediction._replace(images=images, noises=_noises_of(images, noisy_images, *rates))
        yield prediction
        noisy_images_before = noisy_images
        noisy_images = mix(prediction.images, prediction.noises, *rates_at(grid, step + 1, noises))


def _noises_of(images: Images, noisy_images: Images, noise_rates: Rates, signal_rates: Rates) -> Images:
    """The noises that mix with the images to the noisy images."""
    return (noisy_images - signal_rates * images) / noise_rates


def _mean_images(places: Sequence[float], step: int, used: Sequence[StepImages]) -> Images:
    """D over a step, from the images predicted in some steps."""
    steps, images = zip(*used, strict=True)
    return weighted_sum(_weights(places, step, steps), images)


def _weights(places: Sequence[float], step: int, used: Sequence[int]) -> list[float]:
    """The weight in D of the images of each step that is used."""
    if len(used) == 1:
        return [1.0]
    target, length = places[step + 1], places[step + 1] - places[step]
    if len(used) > 2:
        return polynomial_weights(
            [target - places[each] for each in used], exponential_moments(length, len(used))
        )
    (other,) = (each for each in used if each != step)
    share = 0.5 * length / (places[other] - places[step])
    return [share if each == other else 1 - share for each in used]
