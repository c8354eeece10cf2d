"""Contact sheets: any number of images in a near-square grid, enlarged by an integer factor."""

import math

import numpy as np
from PIL import Image, ImageColor

from unnoise.diffusion.tensors import Images, Trajectory
from unnoise.pictures.pixels import ShownArray, over_checkerboard, to_uint8
from unnoise.utils.errors import UnnoiseError, require

# Between black and white, so that the gap differs from black and from white images.
BACKGROUND = "#a3a6ab"
GAP = 4

# Sizes in pixels.
TARGET_SIZE = 1100  # longer side of a sheet at most: with integer factors it is usually near 1000
FRAME_SIZE = 800  # longer side of a frame of an animation
MAX_SIZE = 4000  # larger sheets are scaled down
MIN_TILE = 48
MAX_TILE = 320
CHECKERBOARD_CELL = 14


def near_square(count: int, aspect: float) -> int:
    """The number of columns that makes a sheet of `count` tiles near-square, with few empty places.

    `aspect` is a tile's width divided by its height. From the squarest number of columns up to two more, the
    one with the fewest empty places is chosen: 10 tiles become 5 x 2, not 4 x 3 with two empty places.
    """
    squarest = min(count, max(1, math.ceil(math.sqrt(count / aspect) - 1e-9)))
    most = min(count, squarest + 2, max(squarest, int(1.5 * squarest)))
    return min(range(squarest, most + 1), key=lambda columns: (-count % columns, columns))


def integer_scale(tile: tuple[int, int], places: tuple[int, int], gap: int, target: int, max_size: int) -> int:
    """The integer factor by which (width, height) tiles in (columns, rows) places are enlarged.

    The longer side of the sheet is at most about `target` pixels, tiles have from `MIN_TILE` to `MAX_TILE`
    pixels, and enlarged sheets are never larger than `max_size`.
    """

    def largest(limit: int) -> int:
        return min((limit - gap * (n + 1)) // (n * side) for side, n in zip(tile, places, strict=True))

    comfortable = min(largest(target), MAX_TILE // max(tile))
    visible = min(math.ceil(MIN_TILE / max(tile)), largest(max_size))
    return max(1, comfortable, visible)


def _lay_out(pixels: ShownArray, columns: int, gap: int, background: str) -> Image.Image:
    """Places tiles (N, H, W, 1 or 3) in reading order, with a gap around each one."""
    count, height, width, channels = pixels.shape
    rows = math.ceil(count / columns)
    mode = "L" if channels == 1 else "RGB"
    try:
        colour = np.array(ImageColor.getcolor(background, mode), dtype=np.uint8)
    except ValueError as error:
        raise UnnoiseError(
            f"The background must be the name of a colour or #rrggbb, but got {background!r}. "
            f"Use for example {BACKGROUND!r}."
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
        f"The {name} of a sheet must be at least {least}, but got {value}. Leave it out for the default.",
    )


def sheet(
    images: Images,
    columns: int | None,
    scale: int | None,
    gap: int,
    background: str,
    target: int,
    max_size: int,
) -> Image.Image:
    """Draws images as one sheet whose size is at most `max_size`; other arguments are those of `grid`."""
    _require_whole("number of columns", columns, 1)
    _require_whole("scale", scale, 1)
    _require_whole("gap", gap, 0)
    pixels = to_uint8(images)
    count, height, width, _ = pixels.shape
    columns = min(columns or near_square(count, width / height), count)
    rows = math.ceil(count / columns)
    scale = scale or integer_scale((width, height), (columns, rows), gap, target, max_size)
    enlarged = pixels.repeat(scale, axis=1).repeat(scale, axis=2)
    # A cell of the checkerboard covers whole pixels of the image, to avoid moire patterns.
    opaque = over_checkerboard(enlarged, scale * max(1, round(CHECKERBOARD_CELL / scale)))
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
        images: grey, grey with alpha, RGB or RGBA; alpha is shown over a light checkerboard.
        columns: images in a row; by default the sheet is near-square.
        scale: integer factor of nearest-neighbour enlargement; by default the sheet is about 1000 pixels wide.
        gap: pixels of background around each image, after enlargement.
        background: the name of a colour, or #rrggbb.

    Returns:
        A picture of mode "L" for grey images, else "RGB"; only above 4000 pixels it is scaled down.

    Raises:
        UnnoiseError: images that cannot be drawn (see `to_uint8`), or an argument out of its range.
    """
    picture = sheet(images, columns, scale, gap, background, TARGET_SIZE, MAX_SIZE)
    # It only shrinks, and keeps the aspect ratio.
    picture.thumbnail((MAX_SIZE, MAX_SIZE), Image.Resampling.LANCZOS)
    return picture


def frames(
    trajectory: Trajectory,
    columns: int | None = None,
    scale: int | None = None,
    gap: int = GAP,
    background: str = BACKGROUND,
) -> list[Image.Image]:
    """Draws a trajectory in [0, 1], (S, N, C, H, W), as S sheets of one size: the frames of an animation.

    They are about 800 pixels wide, and with more than 100 steps about 400: noise hardly compresses, and 200
    frames would take 20 MB. Arguments, modes and errors are those of `grid`.
    """
    require(
        len(trajectory) > 0,
        "An animation needs at least one step, but the trajectory has none. Collect the sampler's steps.",
    )
    width = FRAME_SIZE if len(trajectory) <= 100 else FRAME_SIZE // 2
    return [sheet(images, columns, scale, gap, background, width, width) for images in trajectory]
