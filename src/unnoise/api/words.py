"""Words for sizes, colours, ranges and shifts, as people write them."""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, TypeAlias

from unnoise.utils.errors import UnnoiseError, require

if TYPE_CHECKING:
    from unnoise.data.decoding.value_range import RangeChoice

Size: TypeAlias = int | tuple[int, int] | str
"""32, (24, 40) with the height first, or as text "32" or "24x40"."""

Colour: TypeAlias = tuple[int, int, int] | str
"""Red, green and blue from 0 to 255; or a name that CSS knows, or #rrggbb."""

Range: TypeAlias = Sequence[float | str]
"""(0, 4095), as numbers or text; or ("percentiles",)."""


def parse_size(size: Size | None) -> tuple[int, int] | None:
    """32 -> (32, 32); `24x40` -> (24, 40), height first; None -> None.

    Raises:
        UnnoiseError: for anything else, or less than one pixel.
    """
    if size is None:
        return None
    text = "x".join(map(str, size)) if isinstance(size, tuple) else str(size)
    found = re.fullmatch(r"\s*(\d+)(?:\s*[xX×]\s*(\d+))?\s*", text)
    if not found:
        raise UnnoiseError(f"A size is written H or HxW in pixels, such as 32 or 24x40, but got {text!r}.")
    height, width = int(found[1]), int(found[2] or found[1])
    require(min(height, width) >= 1, f"A size is at least 1 pixel each way, but got {text!r}: try 32.")
    return height, width


def parse_noise_shift(text: float | str | None) -> float | Literal["size"] | None:
    """`2` -> 2.0; `size` -> the same word; None -> None.

    Raises:
        UnnoiseError: for anything else.
    """
    if text == "size":
        return "size"
    try:
        return None if text is None else float(text)
    except ValueError:
        raise UnnoiseError(f"--noise-shift is a number, or size, but got {text!r}: try size.") from None


def parse_range(words: Range) -> "RangeChoice":
    """`0 4095` -> the range from 0 to 4095; `percentiles` -> the same word; nothing -> None.

    Raises:
        UnnoiseError: for anything else.
    """
    if not words:
        return None
    from unnoise.data.decoding.value_range import parse_range

    return parse_range(tuple(map(str, [words] if isinstance(words, str) else words)))


def parse_colour(text: Colour | None) -> tuple[int, int, int] | None:
    """`white`, `#8899aa` or any other name that CSS knows -> (red, green, blue), 0 to 255; None -> None.

    Raises:
        UnnoiseError: for a name that is no colour.
    """
    if text is None or isinstance(text, tuple):
        return text
    from PIL import ImageColor

    try:
        red, green, blue, *_ = ImageColor.getrgb(text)
    except ValueError:
        raise UnnoiseError(f"A colour is a name or #rrggbb, but got {text!r}: try white or #808080.") from None
    return red, green, blue
