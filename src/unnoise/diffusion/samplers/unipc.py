"""What is seen at the end of a step also corrects the step: one order more, and not one call more."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Literal

import torch

from unnoise.diffusion.samplers.grid import Times, rates_at, time_grid
from unnoise.diffusion.samplers.polynomials import (
    decaying_moments,
    polynomial_weights,
    require_order,
    weighted,
    with_signal,
)
from unnoise.diffusion.schedules import OffsetCosine, Schedule, log_snr
from unnoise.diffusion.tensors import Denoise, Images, Prediction, Rates, mix
from unnoise.utils.errors import require

Variant = Literal["bh1", "bh2"]
Seen = tuple[int, Images]


def unipc(
    denoise: Denoise,
    noises: Images,
    num_steps: int = 20,
    schedule: Schedule = OffsetCosine(),  # noqa: B008 (frozen)
    *,
    order: int = 3,
    variant: Variant = "bh2",
    corrector: bool = True,
    lower_order_final: bool = True,
    times: Times | None = None,
    draw_noises: Callable[[], Images] | None = None,
) -> Iterator[Prediction]:
    r"""The unified predictor-corrector UniPC-p (2302.04867, section 3), of images and multistep.

        x_{t'} = sigma' / sigma x_t + alpha' (1 - e^{-h}) D,      h = half the log-SNR that the step gains
        D = \int e^{l} x_0(l) dl / \int e^{l} dl,      l from half the log-SNR at t to that at t'

    with the polynomial in l through the images seen in this step and the p - 1 before for x_0(l). After the
    next call the step is taken once more, through the image seen at its end, too (UniC-p); that image then also
    serves the next step, so there are K calls. Where only one image besides the step's own x_0(l_t) is used,
    the paper sets its a_1 = 1/2 for any B(h), and D = x_0(l_t) + B(h) / (1 - e^{-h}) (difference) / 2: only
    there B_1 = h and B_2 = 1 - e^{-h} differ. Orders: p without the corrector, p + 1 with it, on grids whose
    first and last steps are small; elsewhere the steps of lower order at both ends count.

    Args:
        denoise, noises, num_steps, schedule, times: as for `samplers.ddim`.
        order: p, from 1 to 3.
        variant: B(h); the paper takes bh1 below 10 steps without guidance, bh2 otherwise.
        corrector: without, UniP-p alone.
        lower_order_final: takes order ..., 2, 1 for the last steps; a step to no noise at all is always of
            order 1.
        draw_noises: none are drawn; samplers are called alike.

    Yields:
        `Prediction(noises, images)`, K times: D, and the noises that mix with it to the corrected x_t. The
        images of the last are the result.

    Raises:
        UnnoiseError: for num_steps < 1, an order outside 1 ... 3, or an unknown variant.
    """
    require_order(order, 3, "unipc")
    require(variant in ("bh1", "bh2"), f"UniPC's variant is bh1 or bh2, but got {variant!r}: take bh2.")
    grid = time_grid(num_steps, schedule, times)
    places = (log_snr(*grid) / 2).flatten().tolist()
    orders = [
        1 if at.item() == 0 else min(order, left) if lower_order_final else order
        for at, left in zip(grid.noise_rates[1:], range(num_steps, 0, -1), strict=True)
    ]
    noisy_images, before, seen = noises, noises, deque[Seen](maxlen=order)
    for step in range(num_steps):
        with torch.no_grad():
            rates = rates_at(grid, step, noises)
            prediction = denoise(noisy_images, *rates)
            if corrector and seen:
                used = [*list(seen)[-orders[step - 1] :], (step, prediction.images)]
                images = _mean(places, step - 1, used, variant)
                beside = _noises_beside(images, before, *rates_at(grid, step - 1, noises))
                noisy_images = mix(images, beside, *rates)
            if with_signal(grid, step):
                seen.append((step, prediction.images))
            used = list(seen)[-orders[step] :] or [(step, prediction.images)]
            images = _mean(places, step, used, variant)
            beside = _noises_beside(images, noisy_images, *rates)
            prediction = prediction._replace(images=images, noises=beside)
        yield prediction
        before = noisy_images
        noisy_images = mix(prediction.images, prediction.noises, *rates_at(grid, step + 1, noises))


def _noises_beside(images: Images, noisy_images: Images, noise_rates: Rates, signal_rates: Rates) -> Images:
    """The noises that mix with the images to the noisy images."""
    return (noisy_images - signal_rates * images) / noise_rates


def _mean(places: Sequence[float], step: int, used: Sequence[Seen], variant: Variant) -> Images:
    """D over a step from the image seen in it, those before, and perhaps that at its end."""
    seen, images = zip(*used, strict=True)
    return weighted(_weights(places, step, seen, variant), images)


def _weights(places: Sequence[float], step: int, seen: Sequence[int], variant: Variant) -> list[float]:
    """How much the image of each step counts in D."""
    if len(seen) == 1:
        return [1.0]
    target, length = places[step + 1], places[step + 1] - places[step]
    if len(seen) > 2:
        return polynomial_weights([target - places[at] for at in seen], decaying_moments(length, len(seen)))
    (other,) = (at for at in seen if at != step)
    share = 0.5 * length / (places[other] - places[step])
    if variant == "bh1":
        share *= length / -torch.tensor(-length, dtype=torch.float64).expm1().item()
    return [share if at == other else 1 - share for at in seen]
