"""Any number of images fits on one sheet: near-square, enlarged by a whole factor, told apart by a gap."""

import math

import numpy as np
from PIL import Image, ImageColor

from unnoise.diffusion.tensors import Images, Trajectory
from unnoise.pictures.pixels import ShownArray, over_checkerboard, to_uint8
from unnoise.utils.errors import UnnoiseError, require

# Lies between black and white, so that tiles of either are told apart from the gap.
BACKGROUND = "#a3a6ab"
GAP = 4

# Sizes in screen pixels.
AIMED = 1100  # the longer side of a sheet at most: whole factors then come out near 1000
ANIMATED = 800  # the longer side of a frame: a GIF on a page
WIDEST = 4000  # beyond this a sheet is scaled down
LEAST_TILE = 48
MOST_TILE = 320
CHECKER = 14


def near_square(count: int, aspect: float) -> int:
    """The number of columns that makes a sheet of `count` tiles about square, with few empty places.

    `aspect` is a tile's width divided by its height. From the squarest number of columns up to two more, the
    one that leaves the fewest places empty is chosen: 10 tiles stand 5 x 2, not 4 x 3 with two holes.
    """
    squarest = min(count, max(1, math.ceil(math.sqrt(count / aspect) - 1e-9)))
    widest = min(count, squarest + 2, max(squarest, int(1.5 * squarest)))
    return min(range(squarest, widest + 1), key=lambda columns: (-count % columns, columns))


def whole_scale(tile: tuple[int, int], places: tuple[int, int], gap: int, aimed: int, widest: int) -> int:
    """The whole factor by which (width, height) tiles in (columns, rows) places are enlarged.

    The sheet's longer side aims at `aimed` pixels, tiles stay between `LEAST_TILE` and `MOST_TILE`, and no
    enlargement takes the sheet beyond `widest`.
    """

    def largest(limit: int) -> int:
        return min((limit - gap * (n + 1)) // (n * side) for side, n in zip(tile, places, strict=True))

    comfortable = min(largest(aimed), MOST_TILE // max(tile))
    visible = min(math.ceil(LEAST_TILE / max(tile)), largest(widest))
    return max(1, comfortable, visible)


def _lay_out(pixels: ShownArray, columns: int, gap: int, background: str) -> Image.Image:
    """Places tiles (N, H, W, 1 or 3) in reading order, a gap around each one."""
    count, height, width, channels = pixels.shape
    rows = math.ceil(count / columns)
    mode = "L" if channels == 1 else "RGB"
    try:
        colour = np.array(ImageColor.getcolor(background, mode), dtype=np.uint8)
    except ValueError as error:
        raise UnnoiseError(
            f"A background is a colour's name or its #rrggbb, but {background!r} is neither: "
            f"use for instance {BACKGROUND!r}."
        ) from error
    sheet_height, sheet_width = rows * (height + gap) + gap, columns * (width + gap) + gap
    sheet = np.empty((sheet_height, sheet_width, channels), dtype=np.uint8)
    sheet[...] = colour
    for index, tile in enumerate(pixels):
        top = gap + index // columns * (height + gap)
        left = gap + index % columns * (width + gap)
        sheet[top : top + height, left : left + width] = tile
    return Image.fromarray(sheet[..., 0] if channels == 1 else sheet)


def _require_whole(name: str, value: int | None, least: int) -> None:
    require(
        value is None or value >= least,
        f"A sheet's {name} is a whole number from {least} up, but it is {value}: "
        f"leave it out to have one chosen.",
    )


def sheet(
    images: Images,
    columns: int | None,
    scale: int | None,
    gap: int,
    background: str,
    aimed: int,
    widest: int,
) -> Image.Image:
    """A grid whose size is chosen by the caller: see `grid` for the arguments that they share."""
    _require_whole("number of columns", columns, 1)
    _require_whole("scale", scale, 1)
    _require_whole("gap", gap, 0)
    pixels = to_uint8(images)
    count, height, width, _ = pixels.shape
    columns = min(columns or near_square(count, width / height), count)
    rows = math.ceil(count / columns)
    scale = scale or whole_scale((width, height), (columns, rows), gap, aimed, widest)
    enlarged = pixels.repeat(scale, axis=1).repeat(scale, axis=2)
    # A cell of the checkerboard covers whole pixels of the image, so that the two patterns do not beat.
    opaque = over_checkerboard(enlarged, scale * max(1, round(CHECKER / scale)))
    return _lay_out(opaque, columns, gap, background)


def grid(
    images: Images,
    columns: int | None = None,
    scale: int | None = None,
    gap: int = GAP,
    background: str = BACKGROUND,
) -> Image.Image:
    """Draws images in [0, 1], (N, C, H, W), as one sheet, in reading order.

    Args:
        images: grey, grey and alpha, RGB or RGBA; alpha is shown over a light checkerboard.
        columns: images in a row; left out, the sheet is near-square, whatever the count.
        scale: whole factor of nearest-neighbour enlargement; left out, the sheet is about 1000 pixels wide.
        gap: pixels of background around each image, after enlargement.
        background: a colour's name or its #rrggbb.

    Returns:
        A picture of mode "L" for grey images, else "RGB"; scaled down only beyond 4000 pixels.

    Raises:
        UnnoiseError: images that cannot be drawn (see `to_uint8`), or an argument out of its range.
    """
    picture = sheet(images, columns, scale, gap, background, AIMED, WIDEST)
    # Smaller only, and both sides by one factor.
    picture.thumbnail((WIDEST, WIDEST), Image.Resampling.LANCZOS)
    return picture


def frames(
    trajectory: Trajectory,
    columns: int | None = None,
    scale: int | None = None,
    gap: int = GAP,
    background: str = BACKGROUND,
) -> list[Image.Image]:
    """Draws a trajectory in [0, 1], (S, N, C, H, W), as S sheets of one size, about 800 pixels wide.

    Above 100 steps about 400: noise can't be compressed, and a chain of 200 steps would take 20 MB.
    Arguments, modes and errors are those of `grid`; `save_gif` and `save_video` take what comes back.
    """
    require(
        len(trajectory) > 0,
        "An animation needs at least one step, but the trajectory has none: collect the sampler's steps.",
    )
    width = ANIMATED if len(trajectory) <= 100 else ANIMATED // 2
    return [sheet(images, columns, scale, gap, background, width, width) for images in trajectory]
