"""A GIF of T frames holds exactly T frames, in one palette: neither merged nor flickering.

Pillow writes an animated GIF too, but it merges consecutive frames that are equal, so here it compresses the
frames one by one, and the few bytes between them are written by this file (GIF89a specification, 1990).
"""

import struct
from collections.abc import Sequence

import numpy as np
from PIL import GifImagePlugin, Image, ImageChops

from unnoise.pictures.png import require_suffix
from unnoise.pictures.timelines import HOLD_LAST, SECONDS_PER_FRAME, Shot, timeline
from unnoise.utils.errors import require
from unnoise.utils.files import PathLike, writable

WIDEST = 800
PALETTE = 256
LAST_COLOURS = 192
SAMPLED_FRAMES = 8
SAMPLE_SIDE = 256
FOREVER = b"!\xff\x0bNETSCAPE2.0\x03\x01\x00\x00\x00"
END = b";"


def _narrowed(frame: Image.Image) -> Image.Image:
    """The frame in mode "L" or "RGB", at most `WIDEST` pixels wide."""
    frame = frame if frame.mode == "L" else frame.convert("RGB")
    if frame.width <= WIDEST:
        return frame
    return frame.resize((WIDEST, max(1, round(frame.height * WIDEST / frame.width))), Image.Resampling.LANCZOS)


def _is_grey(frame: Image.Image) -> bool:
    if frame.mode == "L":
        return True
    red, green, blue = frame.split()
    return not (ImageChops.difference(red, green).getbbox() or ImageChops.difference(green, blue).getbbox())


def _fitted_colours(frames: Sequence[Image.Image], count: int) -> bytes:
    """The `count` colours (median cut, then k-means) that serve these frames best: red, green, blue, ..."""
    tiles = [frame.copy() for frame in frames]
    for tile in tiles:
        tile.thumbnail((SAMPLE_SIDE, SAMPLE_SIDE), Image.Resampling.NEAREST)
    width, height = tiles[0].size
    montage = Image.new("RGB", (width, height * len(tiles)))
    for row, tile in enumerate(tiles):
        montage.paste(tile, (0, row * height))
    fitted = montage.quantize(count, method=Image.Quantize.MEDIANCUT, kmeans=1, dither=Image.Dither.NONE)
    return bytes(fitted.getpalette() or [])[: 3 * count]


def _common_palette(frames: Sequence[Image.Image]) -> Image.Image:
    """One palette of 256 colours, `LAST_COLOURS` of them for the last frame, which is the one looked at.

    Noise is full of colours and forgives a coarse choice; left to share, it would take them all, and the
    gradients of the finished images would break into bands.
    """
    chosen = np.linspace(0, len(frames) - 1, min(len(frames), SAMPLED_FRAMES)).round().astype(int)
    colours = _fitted_colours(frames[-1:], LAST_COLOURS)
    colours += _fitted_colours([frames[index] for index in chosen], PALETTE - LAST_COLOURS)
    palette = Image.new("P", (1, 1))
    # Entries to spare repeat a colour: black would draw black dots.
    palette.putpalette(colours + colours[:3] * (PALETTE - len(colours) // 3))
    return palette


def _indexed(frames: Sequence[Image.Image]) -> tuple[list[Image.Image], bytes]:
    """The frames as indices into one palette, and the palette: 256 times (red, green, blue)."""
    if all(_is_grey(frame) for frame in frames):
        return [frame.convert("L") for frame in frames], bytes(
            grey for grey in range(PALETTE) for _ in range(3)
        )
    frames = [frame.convert("RGB") for frame in frames]
    palette = _common_palette(frames)
    # Dithering would draw other dots in each frame: a still region would seethe.
    indexed = [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames]
    return indexed, bytes(palette.getpalette() or [])


def _changed_box(before: Image.Image | None, now: Image.Image) -> tuple[int, int, int, int]:
    """The smallest box outside which the two frames agree; one pixel where they agree everywhere."""
    if before is None:
        return (0, 0, now.width, now.height)
    rows, columns = np.nonzero(np.asarray(before) != np.asarray(now))
    if rows.size == 0:
        return (0, 0, 1, 1)
    return (int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1)


def _encoded(shots: Sequence[Shot], palette: bytes, loop: bool) -> bytes:
    """The bytes of the file: header, palette, then each frame's delay and its changed pixels."""
    # 0xF7: a palette for all frames, 8 bits a colour, 256 colours.
    header = b"GIF89a" + struct.pack("<HHBBB", *shots[0].picture.size, 0xF7, 0, 0) + palette
    parts = [header, FOREVER if loop else b""]
    before: Image.Image | None = None
    for now, seconds in shots:
        box = _changed_box(before, now)
        milliseconds = 10 * round(100 * seconds)
        parts += GifImagePlugin.getdata(now.crop(box), offset=box[:2], duration=milliseconds)
        before = now
    return b"".join([*parts, END])


def save_gif(
    frames: Sequence[Image.Image],
    path: PathLike,
    seconds_per_frame: float = SECONDS_PER_FRAME,
    hold_last: float = HOLD_LAST,
    loop: bool = True,
    boomerang: bool = False,
) -> None:
    """Writes T frames of one size as a GIF of exactly T frames, equal ones included.

    Grey frames are written without loss; coloured ones share one palette of 256 colours. Frames wider than
    800 pixels are scaled down.

    Args:
        frames: pictures, for instance `frames(trajectory)`.
        path: ends in .gif; its folder is created.
        seconds_per_frame: at least 0.02, because browsers play faster GIFs slowly; kept to 0.01 seconds.
        hold_last: how long the last frame stands in all, if longer.
        loop: play for ever, or once.
        boomerang: walk back from the last frame to the second: 2T - 2 frames.

    Raises:
        UnnoiseError: no frames, frames of several sizes, times out of range, or an unwritable path.
    """
    require_suffix(path, ".gif")
    longest = max(seconds_per_frame, hold_last)
    require(
        seconds_per_frame >= 0.02 and longest <= 655.0,
        f"A GIF's frames stand for 0.02 to 655 seconds each, but these are {seconds_per_frame} and, "
        f"for the last, {hold_last}: use for instance {SECONDS_PER_FRAME} and {HOLD_LAST}, or write an .mp4.",
    )
    indexed, palette = _indexed([_narrowed(frame) for frame in frames])
    encoded = _encoded(timeline(indexed, seconds_per_frame, hold_last, boomerang), palette, loop)
    with writable(path) as temporary:
        temporary.write_bytes(encoded)
