"""Conversion of a decoded picture to the size, channels, fit and background that were asked for."""

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from unnoise.data.decoding.value_range import ANY, RangeChoice, Ranges, to_8_bits
from unnoise.data.limits import LARGEST_SIDE
from unnoise.utils.errors import require

Fit: TypeAlias = Literal["crop", "pad"]
"""crop: the short side fits and the rest is cut off; pad: the long side fits and the rest is filled."""

Size: TypeAlias = tuple[int, int]
"""(height, width) in pixels."""

Colour: TypeAlias = tuple[int, int, int]
"""Red, green and blue from 0 to 255."""

MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}
"""Pillow's mode by the number of channels."""
GREY_MODES = frozenset({"1", "L", "LA", "La", "I", "F", "I;16", "I;16L", "I;16B", "I;16N"})

_FILTER = Image.Resampling.BICUBIC
# Whole-number reduction before the filter: much faster on photographs, and not visible at this gap.
_REDUCING_GAP = 3.0


@dataclass(frozen=True)
class DecodeSettings:
    """Size, channels, fit and background to decode to; `None` leaves a choice to the pictures themselves.

    `ranges` are the values that are black and white in pictures of more than 8 bits.
    """

    size: Size | None = None
    channels: int | None = None
    fit: Fit = "crop"
    background: Colour = (255, 255, 255)
    ranges: RangeChoice = None

    def __post_init__(self) -> None:
        if self.size is not None:
            require(
                all(1 <= side <= LARGEST_SIDE for side in self.size),
                f"The size of pictures is (height, width) with sides from 1 to {LARGEST_SIDE} pixels, not "
                f"{self.size}. Choose sides such as 64.",
            )
        require(
            self.channels is None or self.channels >= 1,
            f"Pictures cannot have {self.channels} channels. Choose 1 (grey), 2 (grey and alpha), 3 (colour) "
            f"or 4 (colour and alpha), or leave the number out.",
        )
        require(self.fit in {"crop", "pad"}, f"The fit is 'crop' or 'pad', not {self.fit!r}.")
        require(
            all(0 <= value <= 255 for value in self.background),
            f"The background is three numbers from 0 to 255, not {self.background}. White is (255, 255, 255).",
        )

    def known_size(self) -> Size:
        """(height, width), once the size is settled."""
        assert self.size is not None, "the size is settled before anything is decoded"
        return self.size

    def known_ranges(self) -> Ranges:
        """The ranges that have been found."""
        ranges = self.ranges if isinstance(self.ranges, tuple) else ()
        return tuple(one for one in ranges if one.kind != ANY)

    def known_channels(self) -> int:
        """The number of channels, once it is settled."""
        assert self.channels is not None, "the channels are settled before anything is decoded"
        return self.channels


def to_mode(picture: Image.Image, channels: int, background: Colour) -> Image.Image:
    """Converts an 8-bit picture of any mode to L, LA, RGB or RGBA, for 1 to 4 channels.

    Unless alpha is kept (2 or 4 channels), transparent pictures are composited onto `background`.
    """
    mode = MODES[channels]
    grey = picture.mode in GREY_MODES
    if not picture.has_transparency_data:
        return _as(_as(picture, "L" if grey else "RGB"), mode)
    if picture.mode == "La":
        picture = picture.convert("LA")
    colours = _as(picture, "RGBA")
    if channels in {2, 4}:
        return _as(colours, mode)
    canvas = Image.new("RGBA", colours.size, (*background, 255))
    return _as(Image.alpha_composite(canvas, colours).convert("RGB"), mode)


def _as(picture: Image.Image, mode: str) -> Image.Image:
    """Converts only where needed: Pillow copies otherwise, and a large picture takes 400 MB each time."""
    return picture if picture.mode == mode else picture.convert(mode)


def is_deep(picture: Image.Image) -> bool:
    """Whether Pillow holds more than 8 bits of a grey: 16-bit and 32-bit integers, or floats."""
    return picture.mode in {"I", "F"} or picture.mode.startswith("I;16")


def deep_values(picture: Image.Image) -> NDArray[Any]:
    """The greys of a deep picture; those of a PPM, which Pillow holds as int32, are 16-bit."""
    values = np.asarray(picture)
    return values.astype(np.uint16) if picture.format == "PPM" and values.dtype == np.int32 else values


def to_8_bit_picture(picture: Image.Image, ranges: RangeChoice) -> Image.Image:
    """Scales deep greys to 8 bits, where `convert("L")` would clip them; others stay as they are.

    Raises:
        UnknownRangeError: if the range of its values is not known.
    """
    if not is_deep(picture):
        return picture
    values = deep_values(picture)
    narrow = Image.fromarray(to_8_bits(values, ranges))
    key = picture.info.get("transparency")
    if isinstance(key, int):
        narrow.putalpha(Image.fromarray(np.where(values == key, 0, 255).astype(np.uint8)))
    narrow.info = {name: value for name, value in picture.info.items() if name != "transparency"}
    return narrow


def fit_picture(picture: Image.Image, settings: DecodeSettings) -> Image.Image:
    """Scales an L, LA, RGB or RGBA picture to exactly `settings.size`, keeping its proportions.

    Shrinking is antialiased. Pillow multiplies colours by alpha before it filters LA and RGBA, so the
    colours of invisible pixels do not bleed into their neighbours.
    """
    if settings.fit == "pad":
        return _pad(picture, settings)
    return _crop(picture, settings)


def _crop(picture: Image.Image, settings: DecodeSettings) -> Image.Image:
    height, width = settings.known_size()
    scale = max(width / picture.width, height / picture.height)
    # The box is cut from the original, because scaling a 1 x 60000 strip first would fill the memory.
    box_width = min(width / scale, picture.width)
    box_height = min(height / scale, picture.height)
    left = (picture.width - box_width) // 2
    top = (picture.height - box_height) // 2
    if scale == 1:
        return picture.crop((int(left), int(top), int(left) + width, int(top) + height))
    box = (left, top, left + box_width, top + box_height)
    return picture.resize((width, height), _FILTER, box=box, reducing_gap=_REDUCING_GAP)


def _pad(picture: Image.Image, settings: DecodeSettings) -> Image.Image:
    height, width = settings.known_size()
    scale = min(width / picture.width, height / picture.height)
    inner = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    if inner != picture.size:
        picture = picture.resize(inner, _FILTER, reducing_gap=_REDUCING_GAP)
    canvas = _canvas(picture.mode, (width, height), settings.background)
    canvas.paste(picture, ((width - inner[0]) // 2, (height - inner[1]) // 2))
    return canvas


def _canvas(mode: str, size: tuple[int, int], background: Colour) -> Image.Image:
    if mode in {"LA", "RGBA"}:
        return Image.new(mode, size)  # all zeros: transparent
    return Image.new("RGB", size, background).convert(mode)


def background_pixel(channels: int, background: Colour) -> NDArray[np.uint8]:
    """The background as a pixel, (C,), of pictures of 1 to 4 channels; transparent where alpha is kept."""
    pixel: NDArray[np.uint8] = to_array(_canvas(MODES[channels], (1, 1), background))[0, 0]
    return pixel


def to_array(picture: Image.Image) -> NDArray[np.uint8]:
    """The pixels of an L, LA, RGB or RGBA picture as uint8 (H, W, C)."""
    pixels: NDArray[np.uint8] = np.asarray(picture, dtype=np.uint8)
    return pixels.reshape(picture.height, picture.width, -1)
