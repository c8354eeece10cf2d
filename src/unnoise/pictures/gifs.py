"""GIF encoder: every frame is kept, and all frames share one palette.

Pillow can write animated GIFs, but it merges equal consecutive frames. So Pillow compresses the frames one by
one here, and this module writes the few bytes between them (GIF89a specification, 1990).
"""

import struct
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import GifImagePlugin, Image, ImageChops

MAX_WIDTH = 800
PALETTE_SIZE = 256
LAST_FRAME_COLOURS = 192
SAMPLED_FRAMES = 8
SAMPLE_SIDE = 256
_LOOP_FOREVER = b"!\xff\x0bNETSCAPE2.0\x03\x01\x00\x00\x00"
_END = b";"


class TimedFrame(NamedTuple):
    """One frame of an animation and the seconds that it is shown."""

    picture: Image.Image
    seconds: float


def _narrowed(frame: Image.Image) -> Image.Image:
    """The frame in mode "L" or "RGB", at most `MAX_WIDTH` pixels wide."""
    frame = frame if frame.mode == "L" else frame.convert("RGB")
    if frame.width <= MAX_WIDTH:
        return frame
    height = max(1, round(frame.height * MAX_WIDTH / frame.width))
    return frame.resize((MAX_WIDTH, height), Image.Resampling.LANCZOS)


def _is_grey(frame: Image.Image) -> bool:
    if frame.mode == "L":
        return True
    red, green, blue = frame.split()
    return not (ImageChops.difference(red, green).getbbox() or ImageChops.difference(green, blue).getbbox())


def _fitted_colours(frames: Sequence[Image.Image], count: int) -> bytes:
    """A palette of `count` colours fitted to these frames (median cut, then k-means), as bytes R, G, B, ..."""
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
    """One palette of 256 colours, of which `LAST_FRAME_COLOURS` are fitted to the last frame.

    The last frame shows the finished images, whose gradients would break into bands with few colours. Noise has
    many colours and would take most of the palette, but coarse colours do not harm it.
    """
    chosen = np.linspace(0, len(frames) - 1, min(len(frames), SAMPLED_FRAMES)).round().astype(int)
    colours = _fitted_colours(frames[-1:], LAST_FRAME_COLOURS)
    colours += _fitted_colours([frames[index] for index in chosen], PALETTE_SIZE - LAST_FRAME_COLOURS)
    palette = Image.new("P", (1, 1))
    # Unused entries repeat the first colour: black ones would appear as black dots.
    palette.putpalette(colours + colours[:3] * (PALETTE_SIZE - len(colours) // 3))
    return palette


def indexed(frames: Sequence[Image.Image]) -> tuple[list[Image.Image], bytes]:
    """The frames as indices into one palette, at most 800 pixels wide, and the palette: 256 times (R, G, B).

    Grey frames lose nothing: their palette is all 256 greys.
    """
    frames = [_narrowed(frame) for frame in frames]
    if all(_is_grey(frame) for frame in frames):
        greys = bytes(grey for grey in range(PALETTE_SIZE) for _ in range(3))
        return [frame.convert("L") for frame in frames], greys
    frames = [frame.convert("RGB") for frame in frames]
    palette = _common_palette(frames)
    # No dithering: its dots would differ from frame to frame, and still regions would flicker.
    indices = [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames]
    return indices, bytes(palette.getpalette() or [])


def _changed_box(before: Image.Image | None, now: Image.Image) -> tuple[int, int, int, int]:
    """The smallest box that holds all differences between two frames; one pixel where they are equal."""
    if before is None:
        return (0, 0, now.width, now.height)
    rows, columns = np.nonzero(np.asarray(before) != np.asarray(now))
    if rows.size == 0:
        return (0, 0, 1, 1)
    return (int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1)


def encode(frames: Sequence[TimedFrame], palette: bytes, loop: bool) -> bytes:
    """The bytes of a GIF file: header, palette, then the delay and the changed pixels of each indexed frame."""
    # 0xF7: one palette for all frames, 8 bits a colour, 256 colours.
    header = b"GIF89a" + struct.pack("<HHBBB", *frames[0].picture.size, 0xF7, 0, 0) + palette
    parts = [header, _LOOP_FOREVER if loop else b""]
    before: Image.Image | None = None
    for now, seconds in frames:
        box = _changed_box(before, now)
        milliseconds = 10 * round(100 * seconds)
        parts += GifImagePlugin.getdata(now.crop(box), offset=box[:2], duration=milliseconds)
        before = now
    return b"".join([*parts, _END])
