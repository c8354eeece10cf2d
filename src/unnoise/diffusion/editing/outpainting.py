r"""Outpainting: the surroundings of images, by overlapping windows (MultiDiffusion, 2302.08113, eq. 5).

At every step the predictions of the windows are averaged on a canvas larger than the network's images:

    x_0 = sum_i w_i x_0(window i) / sum_i w_i,    eps likewise

The weight w of a window falls towards its border, where the network knows the surroundings on one side only.
"""

from collections.abc import Callable, Iterator
from typing import TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor

from unnoise.diffusion.editing.inpainting import Masks, inpaint
from unnoise.diffusion.samplers import Times
from unnoise.diffusion.schedules import OffsetCosine, Schedule
from unnoise.diffusion.tensors import Denoise, Images, Prediction, Rates
from unnoise.utils.errors import require

Canvas = tuple[int, int]
"""(height, width) in pixels."""

Canvases: TypeAlias = Float[Tensor, "batch channels canvas_height canvas_width"]
"""Images or noises of the size of a canvas."""


def corners(size: int, window: int, stride: int) -> list[int]:
    """The first pixels of the windows along one side: 0, stride, ..., and size - window."""
    return [*range(0, size - window, stride), size - window]


def windowed(denoise: Denoise, window: Canvas, overlap: float = 0.5) -> Denoise:
    """MultiDiffusion denoiser: for images of any larger size, from a denoiser for the size of the window.

    All windows of all images are one batch, ordered by window: (windows B, C, h, w).

    Args:
        denoise: for images (B, C, h, w).
        window: (h, w).
        overlap: the smallest overlap of neighbouring windows, as a fraction, from 0 to below 1.

    Raises:
        UnnoiseError: for an overlap outside that range; when called, for images smaller than the window.
    """
    require(0 <= overlap < 1, f"The overlap of windows is from 0 to below 1, but got {overlap:g}: try 0.5.")
    strides = [max(1, int(side * (1 - overlap))) for side in window]
    profile = [torch.minimum(torch.arange(side) + 1.0, side - torch.arange(side)) for side in window]
    weight: Float[Tensor, "height width"] = profile[0][:, None] * profile[1]

    def wrapped(noisy_images: Images, noise_rates: Rates, signal_rates: Rates) -> Prediction:
        size = (noisy_images.shape[2], noisy_images.shape[3])
        require_larger(size, window)
        places = [
            (slice(top, top + window[0]), slice(left, left + window[1]))
            for top in corners(size[0], window[0], strides[0])
            for left in corners(size[1], window[1], strides[1])
        ]
        windows = torch.cat([noisy_images[..., rows, columns] for rows, columns in places])
        rates = (rate.repeat(len(places), 1, 1, 1) for rate in (noise_rates, signal_rates))
        prediction = denoise(windows, *rates)
        weights = weight.to(noisy_images)
        total = torch.zeros_like(noisy_images[:1, :1])
        noises, images = torch.zeros_like(noisy_images), torch.zeros_like(noisy_images)
        parts = zip(prediction.noises.chunk(len(places)), prediction.images.chunk(len(places)), strict=True)
        for (rows, columns), (some_noises, some_images) in zip(places, parts, strict=True):
            total[..., rows, columns] += weights
            noises[..., rows, columns] += weights * some_noises
            images[..., rows, columns] += weights * some_images
        return Prediction(noises / total, images / total)

    return wrapped


def require_larger(canvas: Canvas, window: Canvas) -> None:
    """Raises `UnnoiseError` unless the canvas is at least as high and as wide as the window."""
    require(
        canvas[0] >= window[0] and canvas[1] >= window[1],
        f"A canvas must be at least as large as the pictures, {window[0]}x{window[1]}, but got "
        f"{canvas[0]}x{canvas[1]}: choose a larger one.",
    )


def on_canvas(images: Images, canvas: Canvas) -> tuple[Canvases, Masks]:
    """The images in the middle of a canvas, (B, C, H, W), and the mask of their pixels, (B, 1, H, W)."""
    require_larger(canvas, (images.shape[2], images.shape[3]))
    top, left = ((large - small) // 2 for large, small in zip(canvas, images.shape[2:], strict=True))
    place = (..., slice(top, top + images.shape[2]), slice(left, left + images.shape[3]))
    placed = images.new_zeros((*images.shape[:2], *canvas))
    known = torch.zeros((len(images), 1, *canvas), dtype=torch.bool, device=images.device)
    placed[place], known[place] = images, True
    return placed, known


def outpaint(
    denoise: Denoise,
    images: Images,
    noises: Canvases,
    num_steps: int = 50,
    schedule: Schedule = OffsetCosine(),  # noqa: B008 (frozen)
    *,
    overlap: float = 0.5,
    jump_length: int = 5,
    repeats: int = 3,
    times: Times | None = None,
    draw_noises: Callable[[], Canvases] | None = None,
) -> Iterator[Prediction]:
    """Outpainting: samples the surroundings of images, which are in the middle of a larger canvas.

    RePaint with a MultiDiffusion denoiser. The images are unchanged, bit for bit.

    Args:
        denoise: for images of this size.
        images: (B, C, h, w), normalised.
        noises: (B, C, H, W), N(0, 1), of the size of the canvas.
        overlap: see `windowed`.
        num_steps, schedule, jump_length, repeats, times: as for `inpaint`.
        draw_noises: returns the next z, (B, C, H, W), of the size of the canvas.

    Yields:
        `Prediction(noises, images)` of the canvas, as `inpaint` does.

    Raises:
        UnnoiseError: for a smaller canvas, an overlap outside [0, 1), or as `inpaint`.
    """
    placed, known = on_canvas(images, (noises.shape[2], noises.shape[3]))
    yield from inpaint(
        windowed(denoise, (images.shape[2], images.shape[3]), overlap),
        placed,
        known,
        noises,
        num_steps,
        schedule,
        jump_length=jump_length,
        repeats=repeats,
        times=times,
        draw_noises=draw_noises,
    )
