"""Sheets of image pairs, one image above the other, with a caption below each pair."""

import math
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from unnoise.diffusion.tensors import Images
from unnoise.pictures.charts import FAINT, RULE, painted
from unnoise.pictures.pixels import ShownArray, over_checkerboard, to_uint8
from unnoise.utils.errors import require

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

OnePicture: TypeAlias = UInt8[np.ndarray, "height width shown"]

_COLUMNS = 6
_WIDTH = 1.25


def pairs(
    upper: Images, lower: Images, captions: Sequence[str], *, rows: tuple[str, str], title: str = ""
) -> Image.Image:
    """Draws N pairs of images in [0, 1], (N, C, H, W) each, six in a row.

    Args:
        upper, lower: the upper and the lower image of each pair.
        captions: text below each pair.
        rows: names of the upper and the lower images, written at their left.
        title: text above the sheet.

    Raises:
        UnnoiseError: images that can't be drawn, or different numbers of images and captions.
    """
    counts = {len(upper), len(lower), len(captions)}
    require(
        len(counts) == 1,
        f"Each pair needs two images and a caption, but got {len(upper)}, {len(lower)} and {len(captions)}.",
    )
    above, below = _opaque(upper), _opaque(lower)
    count, height, width = above.shape[:3]
    columns, bands = min(_COLUMNS, count), math.ceil(count / _COLUMNS)
    across = 0.3 + _WIDTH * max(columns, 3)
    words = [line for part in title.splitlines() for line in textwrap.wrap(part, int(15.5 * across))]
    tall = _WIDTH * min(2.0, max(0.5, height / width))

    def draw(figure: "Figure") -> None:
        figure.suptitle("\n".join(words), x=0.01, ha="left", fontsize=9)
        figure.set_layout_engine("constrained", h_pad=0.03, w_pad=0.03, hspace=0.0, wspace=0.0)
        places = figure.subplots(2 * bands, columns, squeeze=False)
        for axes in places.flat:
            axes.set_axis_off()
        for number in range(count):
            band, column = divmod(number, columns)
            for offset, pictures in enumerate((above, below)):
                axes = places[2 * band + offset, column]
                _show(axes, pictures[number])
                if column == 0:
                    axes.set_ylabel(rows[offset], color=FAINT, fontsize=8)
            axes.set_xlabel(captions[number], fontsize=8)

    # Room for the title, and for one line of text below each pair.
    return painted(draw, (across, 0.18 * (len(words) + 1) + bands * (2 * tall + 0.32)))


def _opaque(images: Images) -> ShownArray:
    return over_checkerboard(to_uint8(images), max(1, images.shape[-1] // 8))


def _show(axes: "Axes", pixels: OnePicture) -> None:
    """Draws a picture in a thin frame, its pixels as squares."""
    axes.set_axis_on()
    grey = pixels.shape[-1] == 1
    axes.imshow(pixels[..., 0] if grey else pixels, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    axes.grid(visible=False)
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set(visible=True, color=RULE)
