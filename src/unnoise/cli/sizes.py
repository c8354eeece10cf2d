"""A size on the command line is H, or HxW."""

import re

from unnoise.utils.errors import UnnoiseError, require


def parse_size(text: str | None) -> tuple[int, int] | None:
    """`32` -> (32, 32); `24x40` -> (24, 40), height first; None -> None.

    Raises:
        UnnoiseError: for anything else, or less than one pixel.
    """
    if text is None:
        return None
    found = re.fullmatch(r"\s*(\d+)(?:\s*[xX×]\s*(\d+))?\s*", text)
    if not found:
        raise UnnoiseError(f"A size is written H or HxW in pixels, such as 32 or 24x40, but got {text!r}.")
    height, width = int(found[1]), int(found[2] or found[1])
    require(min(height, width) >= 1, f"A size is at least 1 pixel each way, but got {text!r}: try 32.")
    return height, width


def parse_colour(text: str | None) -> tuple[int, int, int] | None:
    """`white`, `#8899aa` or any other name that CSS knows -> (red, green, blue), 0 to 255; None -> None.

    Raises:
        UnnoiseError: for a name that is no colour.
    """
    if text is None:
        return None
    from PIL import ImageColor

    try:
        red, green, blue, *_ = ImageColor.getrgb(text)
    except ValueError:
        raise UnnoiseError(f"A colour is a name or #rrggbb, but got {text!r}: try white or #808080.") from None
    return red, green, blue
