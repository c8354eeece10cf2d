"""Decoder of picture files: PNG, JPEG, BMP, GIF, TIFF and WebP to uint8 (H, W, C)."""

import re
from io import BufferedReader, BytesIO
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from unnoise.data.decoding.conversion import DecodeSettings, Size, fit_picture, to_array, to_mode
from unnoise.data.decoding.pillow_guard import GuardedFile, exif_orientation
from unnoise.data.limits import LARGEST_PIXELS, Quota

# Named one by one: left to itself, Pillow would also try formats that start other programs (EPS).
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP")

_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
PIXEL_QUOTA = Quota(LARGEST_PIXELS)
"""The pixels of all pictures that are being decoded, by any number of threads."""


class UnreadableError(Exception):
    """A picture cannot be read; the text is the reason, without the name of the file."""


class Header(NamedTuple):
    """Facts about a picture from its header, without decoding it; the size is that of the upright picture."""

    format: str
    mode: str
    size: Size
    alpha: bool = False
    """Whether some of it may be transparent."""
    animated: bool = False
    """Whether more pictures follow the first one, which alone is decoded."""
    turned: bool = False
    """Whether EXIF says that it is stored mirrored or turned."""


def read_header(file: BytesIO | BufferedReader) -> Header:
    """Reads format, mode and size of a picture without decoding it; raises UnreadableError."""
    picture = _open(file)
    height, width, orientation = picture.height, picture.width, exif_orientation(picture)
    # From 5 on the picture is stored on its side. Pillow itself turns the size of a TIFF.
    if picture.format != "TIFF" and orientation >= 5:
        height, width = width, height
    return Header(
        picture.format or "",
        picture.mode,
        (height, width),
        alpha=picture.has_transparency_data,
        animated=_animated(picture),
        turned=orientation in _UPRIGHT,
    )


def decode(data: bytes, settings: DecodeSettings) -> NDArray[np.uint8]:
    """Decodes the bytes of one file to uint8 (H, W, C), as `settings` say; raises UnreadableError."""
    if not data:
        raise UnreadableError("the file is empty")
    picture = _open(BytesIO(data))
    # A JPEG can be decoded at 1/2, 1/4 or 1/8 of its size. Twice the target leaves the filter enough to do.
    side = 2 * max(settings.known_size())
    picture.draft(None, (side, side))
    with PIXEL_QUOTA.reserve(picture.width * picture.height):
        try:
            picture.load()
            flat = to_mode(_upright(picture), settings.known_channels(), settings.background)
            return to_array(fit_picture(flat, settings))
        except Exception as error:
            raise UnreadableError(_reason(error)) from error


def _open(file: BytesIO | BufferedReader) -> Image.Image:
    guarded = GuardedFile(file)
    try:
        picture = Image.open(guarded, formats=FORMATS)  # type: ignore[arg-type] # it needs no more of a file
    except UnidentifiedImageError as error:
        raise UnreadableError("not a PNG, JPEG, WebP, BMP, GIF or TIFF picture") from error
    except Image.DecompressionBombError as error:
        number = re.search(r"\d+", str(error))
        raise _too_large(int(number[0]) if number else LARGEST_PIXELS + 1) from error
    except Exception as error:
        # A damaged file can make Pillow raise almost anything, and must not end the whole run.
        raise UnreadableError(_reason(error)) from error
    if picture.width * picture.height > LARGEST_PIXELS:
        raise _too_large(picture.width * picture.height)
    guarded.opening = False
    return picture


def _too_large(pixels: int) -> UnreadableError:
    return UnreadableError(
        f"it has {pixels:,} pixels, over the limit of {LARGEST_PIXELS:,}: make it smaller, or leave it out"
    )


def _reason(error: Exception) -> str:
    return str(error).strip().rstrip(".") or type(error).__name__


def _animated(picture: Image.Image) -> bool:
    try:
        return bool(getattr(picture, "is_animated", False))
    except Exception:  # noqa: BLE001 - the first picture can be used although the second is damaged
        return False


def _upright(picture: Image.Image) -> Image.Image:
    method = _UPRIGHT.get(exif_orientation(picture))
    if method is None:
        return picture
    turned = picture.transpose(method)
    if "transparency" in picture.info:
        turned.info["transparency"] = picture.info["transparency"]
    return turned
