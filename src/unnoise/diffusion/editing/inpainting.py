r"""RePaint inpainting (Lugmayr et al., 2201.09865).

At each step (eq. 8 and algorithm 1), with x_0 the picture and m = 1 where it is known:

    x_s = m (alpha_s x_0 + sigma_s z) + (1 - m) (a DDPM step from x_t),      z ~ N(0, 1)

The unknown part of a step is drawn before the known part of x_s is put in, so the two may not fit. Therefore
steps are repeated: noise is added back and the steps are taken again (section 4.2).
"""

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import TypeAlias

import torch
from jaxtyping import Bool
from torch import Tensor

from unnoise.diffusion.posteriors import like, posterior, posterior_weights
from unnoise.diffusion.samplers import Times, rates_at, require_steps, time_grid
from unnoise.diffusion.schedules import OffsetCosine, RatePair, Schedule
from unnoise.diffusion.tensors import Denoise, Images, Prediction, mix
from unnoise.utils.errors import require

Masks: TypeAlias = Bool[Tensor, "_ 1 _ _"]
"""True where a pixel is known and kept, (B, 1, H, W); `require_same_size` checks the size."""


def resampling_path(num_steps: int, jump_length: int, repeats: int) -> list[int]:
    """The grid indices 0 ... K in the order in which RePaint visits them.

    Each `jump_length` steps are taken `repeats` times, with a jump back to their start in between: repeats K
    steps in all. The last group may be shorter.

    Raises:
        UnnoiseError: for a number below 1.
    """
    require_steps(num_steps)
    for name, value in (("jump length", jump_length), ("number of repeats", repeats)):
        require(value >= 1, f"Inpainting's {name} is at least 1, but got {value}.")
    path = [0]
    for start in range(0, num_steps, jump_length):
        stretch = list(range(start + 1, min(start + jump_length, num_steps) + 1))
        path += stretch + [place for _ in range(repeats - 1) for place in (start, *stretch)]
    return path


def inpaint(
    denoise: Denoise,
    images: Images,
    known: Masks,
    noises: Images,
    num_steps: int = 50,
    schedule: Schedule = OffsetCosine(),  # noqa: B008 (frozen)
    *,
    jump_length: int = 5,
    repeats: int = 3,
    times: Times | None = None,
    draw_noises: Callable[[], Images] | None = None,
) -> Iterator[Prediction]:
    """RePaint: samples the unknown pixels of images; the known pixels are unchanged, bit for bit.

    Args:
        denoise: separates noisy images into noises and images.
        images: (B, C, H, W), normalised; the values of unknown pixels are not used.
        known: (B, 1, H, W), true where a pixel is known.
        noises: (B, C, H, W), N(0, 1), used as x at t = 1.
        num_steps, schedule, times: as for `samplers.ddim`.
        jump_length: the number of steps repeated together; 10 in the paper, of 250 steps.
        repeats: how often each step is taken; 10 in the paper, 1 is no resampling.
        draw_noises: returns the next z, (B, C, H, W); left out, PyTorch's global generator draws it.

    Yields:
        `Prediction(noises, images)`, repeats * num_steps times; the images contain the known pixels. The images
        of the last are the result.

    Raises:
        UnnoiseError: for num_steps, jump_length or repeats below 1, or masks of another size.
    """
    require_same_size(known, images)
    path = resampling_path(num_steps, jump_length, repeats)
    grid = time_grid(num_steps, schedule, times)
    draw = draw_noises or (lambda: torch.randn_like(images))
    noisy_images = torch.where(known, mix(images, noises, *rates_at(grid, 0, images)), noises)
    for here, there in pairwise(path):
        if there < here:
            noisy_images = forward_step(noisy_images, grid, here, there, draw())
            continue
        # The yield is outside of no_grad: a mode set inside a generator would stay set for its caller.
        with torch.no_grad():
            prediction = denoise(noisy_images, *rates_at(grid, here, images))
            result = prediction._replace(images=torch.where(known, images, prediction.images))
        yield result
        with torch.no_grad():
            if there == num_steps:
                noisy_images = result.images
            else:
                drawn = reverse_step(prediction, noisy_images, grid, here, draw())
                known_part = mix(images, draw(), *rates_at(grid, there, images))
                noisy_images = torch.where(known, known_part, drawn)


def require_same_size(known: Masks, images: Images) -> None:
    """Raises `UnnoiseError` unless there is one mask for each image, of the same height and width."""
    (count, _, *size), (wanted, _, *image_size) = known.shape, images.shape
    require(
        size == image_size and count == wanted,
        f"{wanted} pictures of {image_size[0]}x{image_size[1]} need as many masks of this size, but got "
        f"{count} of {size[0]}x{size[1]}.",
    )


def _rates_of_step(grid: RatePair, step: int) -> RatePair:
    return RatePair(*(rates[step : step + 1] for rates in grid))


def reverse_step(
    prediction: Prediction, noisy_images: Images, grid: RatePair, step: int, noises: Images
) -> Images:
    """One DDPM step from this step of the grid to the next, with the small variance."""
    drawn = posterior(
        prediction.images, noisy_images, _rates_of_step(grid, step), _rates_of_step(grid, step + 1)
    )
    return drawn.mean + drawn.small_variance.sqrt() * noises


def forward_step(images: Images, grid: RatePair, here: int, there: int, noises: Images) -> Images:
    """A step of the forward process, from `here` to the earlier step `there` of the grid.

    q(x_t | x_s) = N(alpha_t / alpha_s x_s, sigma_ts^2), and from the end of the grid q(x_t | x_0).
    """
    if here == len(grid.noise_rates) - 1:
        return mix(images, noises, *rates_at(grid, there, images))
    now, before = _rates_of_step(grid, there), _rates_of_step(grid, here)
    kept = like(now.signal_rates / before.signal_rates, images)
    spread = like(posterior_weights(now, before).large_variance.sqrt(), images)
    return kept * images + spread * noises
