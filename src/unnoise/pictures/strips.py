"""Strips of the reverse process: one image in each row, time from left to right."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageColor, ImageDraw, ImageFont

from unnoise.diffusion.tensors import Trajectory
from unnoise.pictures.sheets import BACKGROUND, GAP, grid
from unnoise.utils.errors import require

PAPER = "#ffffff"
INK = "#33363b"
LARGEST_TEXT, SMALLEST_TEXT = 15, 9


def evenly_spaced_indices(steps: int, max_steps: int) -> list[int]:
    """At most `max_steps` evenly spaced indices of `steps`, with the first and the last."""
    count = min(steps, max_steps)
    return [int(index) for index in np.linspace(0, steps - 1, count).round()]


def _font_that_fits(labels: Sequence[str], width: float) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """The largest font in which every label fits into its column, or else the smallest."""
    for size in range(LARGEST_TEXT, SMALLEST_TEXT, -1):
        font = ImageFont.load_default(size=size)
        if all(font.getlength(label) <= width for label in labels):
            return font
    return ImageFont.load_default(size=SMALLEST_TEXT)


def _shortened(label: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: float) -> str:
    """The label, shortened with three dots to less than `width` where needed."""
    if font.getlength(label) <= width:
        return label
    kept = next((n for n in range(len(label), 0, -1) if font.getlength(label[:n] + "...") <= width), 0)
    return label[:kept] + "..."


def _with_header(picture: Image.Image, labels: Sequence[str]) -> Image.Image:
    """The picture with a header of one label above each column."""
    pitch = (picture.width - GAP) / len(labels)
    font = _font_that_fits(labels, pitch - 6)
    band = 28
    page = Image.new(
        picture.mode, (picture.width, picture.height + band), ImageColor.getcolor(PAPER, picture.mode)
    )
    page.paste(picture, (0, band))
    draw = ImageDraw.Draw(page)
    ink = ImageColor.getcolor(INK, picture.mode)
    for column, label in enumerate(labels):
        centre = GAP / 2 + (column + 0.5) * pitch
        draw.text((centre, band / 2), _shortened(label, font, pitch - 6), fill=ink, font=font, anchor="mm")
    return page


def strip(trajectory: Trajectory, labels: Sequence[str] | None = None, max_steps: int = 10) -> Image.Image:
    """Draws the reverse process in [0, 1], (S, N, C, H, W): N rows of at most `max_steps` columns.

    Args:
        trajectory: the steps in the order in which they were taken.
        labels: one for each of the S steps; by default "step 1" to "step S".
        max_steps: largest number of columns: evenly spaced steps with the first and the last.

    Returns:
        A picture of mode "L" for grey images, else "RGB".

    Raises:
        UnnoiseError: no steps, a wrong number of labels, fewer than 2 columns, or images that can't be drawn.
    """
    steps = len(trajectory)
    require(
        steps > 0,
        "A strip needs at least one step, but the trajectory has none. Collect the sampler's steps.",
    )
    require(
        labels is None or len(labels) == steps,
        f"A strip needs one label for each step, but got {len(labels or ())} labels for {steps} steps. Without "
        f"labels, the steps are numbered.",
    )
    require(
        max_steps >= 2,
        f"A strip shows at least the first and the last step, but max_steps is {max_steps}. Pass 2 or more.",
    )
    chosen = evenly_spaced_indices(steps, max_steps)
    names = [f"step {index + 1}" if labels is None else labels[index] for index in chosen]
    rows = trajectory[chosen].transpose(0, 1).flatten(0, 1)
    return _with_header(grid(rows, columns=len(chosen), gap=GAP, background=BACKGROUND), names)
