r"""What is known of a picture is put into every step, so that what is drawn beside it fits.

At each step (RePaint, 2201.09865, eq. 8 and algorithm 1), with x_0 the picture and m = 1 where it is known:

    x_s = m (alpha_s x_0 + sigma_s z) + (1 - m) (a step of DDPM from x_t),      z ~ N(0, 1)

The step could not know what would be put beside it, so it is taken again: noise is added, and it goes down once
more, each time with more of an idea of the other part (section 4.2).
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
"""True where a picture is known, and kept; `require_same_size` says of which size."""


def resampling_path(num_steps: int, jump_length: int, repeats: int) -> list[int]:
    """The places 0 ... K of the grid in the order in which RePaint visits them.

    Each stretch of `jump_length` steps is walked `repeats` times, with a jump back to its start in between, so
    that there are repeats K steps in all. The last stretch may be shorter.

    Raises:
        UnnoiseError: for numbers below 1.
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
    """Draws what is not known of images; what is known stays as it is, bit for bit.

    Args:
        denoise: separates noisy images into noises and images.
        images: (B, C, H, W), normalised; what they hold where they are not known plays no part.
        known: (B, 1, H, W), true where a pixel is kept.
        noises: (B, C, H, W), N(0, 1), to start from.
        num_steps, schedule, times: as for `samplers.ddim`.
        jump_length: how many steps are taken again together; the paper takes 10 of 250.
        repeats: how often each step is taken; 1 is no resampling, the paper takes 10.
        draw_noises: returns the next z, (B, C, H, W); PyTorch's global generator if left out.

    Yields:
        `Prediction(noises, images)`, repeats times num_steps; the images, those of the last above all, hold the
        known pixels.

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
            noisy_images = _more_noise(noisy_images, grid, here, there, draw())
            continue
        # Not around the yield: a mode that is set inside a generator would leak to whoever it yields to.
        with torch.no_grad():
            prediction = denoise(noisy_images, *rates_at(grid, here, images))
            result = prediction._replace(images=torch.where(known, images, prediction.images))
        yield result
        with torch.no_grad():
            if there == num_steps:
                noisy_images = result.images
            else:
                drawn = _less_noise(prediction, noisy_images, grid, here, draw())
                put_in = mix(images, draw(), *rates_at(grid, there, images))
                noisy_images = torch.where(known, put_in, drawn)


def require_same_size(known: Masks, images: Images) -> None:
    """Raises `UnnoiseError` unless there is a mask of the images' height and width for each of them."""
    (count, _, *size), (wanted, _, *image_size) = known.shape, images.shape
    require(
        size == image_size and count == wanted,
        f"A mask is of the size of its picture, but {count} of {size[0]}x{size[1]} came with {wanted} of "
        f"{image_size[0]}x{image_size[1]}.",
    )


def _at(grid: RatePair, step: int) -> RatePair:
    return RatePair(*(rates[step : step + 1] for rates in grid))


def _less_noise(
    prediction: Prediction, noisy_images: Images, grid: RatePair, step: int, noises: Images
) -> Images:
    """One step of DDPM, with the posterior's own variance."""
    drawn = posterior(prediction.images, noisy_images, _at(grid, step), _at(grid, step + 1))
    return drawn.mean + drawn.small_variance.sqrt() * noises


def _more_noise(images: Images, grid: RatePair, here: int, there: int, noises: Images) -> Images:
    """q(x_t | x_s) = N(alpha_t / alpha_s x_s, sigma_ts^2), from the end of the grid q(x_t | x_0)."""
    if here == len(grid.noise_rates) - 1:
        return mix(images, noises, *rates_at(grid, there, images))
    now, before = _at(grid, there), _at(grid, here)
    kept = like(now.signal_rates / before.signal_rates, images)
    spread = like(posterior_weights(now, before).large_variance.sqrt(), images)
    return kept * images + spread * noises
