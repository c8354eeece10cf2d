"""Decoder of picture files to uint8 (H, W, C)."""

import re
from io import BytesIO
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from unnoise.data.decoding import tiff
from unnoise.data.decoding.colour import BrokenProfileError, needs_conversion, to_srgb
from unnoise.data.decoding.conversion import (
    GREY_MODES,
    DecodeSettings,
    Size,
    deep_values,
    fit_picture,
    is_deep,
    to_8_bit_picture,
    to_array,
    to_mode,
)
from unnoise.data.decoding.formats import MissingReaderError, formats_of
from unnoise.data.decoding.pillow_guard import GuardedFile, exif_orientation
from unnoise.data.decoding.tiff_pages import File, full_picture_first
from unnoise.data.decoding.value_range import RangeChoice, UnknownRangeError, ValueStatistics, measured
from unnoise.data.limits import LARGEST_PIXELS, Quota

_TIFF = (b"II", b"MM")
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


class UnsupportedError(UnreadableError):
    """A picture cannot be read until another package is installed, which the text names."""


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
    special: bool = False
    """Whether its values need a range, or its colours or transparency a conversion, which old caches lack."""


def read_header(file: File) -> Header:
    """Reads format, mode and size of a picture without decoding it; raises UnreadableError."""
    stored, (file, deep) = file, _beyond_pillow(file)
    if deep is not None:
        _require_pixels(deep.width * deep.height)
        size = (deep.width, deep.height) if deep.orientation >= 5 else (deep.height, deep.width)
        turned = deep.orientation in _UPRIGHT
        return Header("TIFF", deep.mode, size, alpha=bool(deep.alpha), turned=turned, special=True)
    picture = _open(file)
    height, width, orientation = picture.height, picture.width, exif_orientation(picture)
    # From 5 on the picture is stored on its side. Pillow itself turns the size of a TIFF.
    if picture.format != "TIFF" and orientation >= 5:
        height, width = width, height
    alpha = picture.has_transparency_data
    return Header(
        picture.format or "",
        picture.mode,
        (height, width),
        alpha=alpha,
        animated=_animated(picture),
        turned=orientation in _UPRIGHT,
        special=file is not stored
        or is_deep(picture)
        or needs_conversion(picture)
        or (alpha and picture.mode in {"1", "L", "RGBA"}),
    )


def decode(data: bytes, settings: DecodeSettings, notes: list[str] | None = None) -> NDArray[np.uint8]:
    """Decodes the bytes of one file to uint8 (H, W, C), as `settings` say.

    Colours become those of sRGB.

    Args:
        data, settings: the file, and how to read it.
        notes: takes sentences on what is wrong with a picture that is read nevertheless.

    Raises:
        UnreadableError: with the reason.
        UnknownRangeError: if its values are of a kind that `settings.ranges` has no range for.
    """
    if not data:
        raise UnreadableError("the file is empty")
    notes = [] if notes is None else notes
    file: File = BytesIO(data)
    if data.startswith(_TIFF):
        file, deep = _beyond_pillow(file)
        if deep is not None:
            return _decode_deep(file.read(), deep, settings, notes)
    picture = _open(file)
    # A JPEG can be decoded at 1/2, 1/4 or 1/8 of its size. Twice the target leaves the filter enough to do.
    side = 2 * max(settings.known_size())
    picture.draft(None, (side, side))
    with PIXEL_QUOTA.reserve(picture.width * picture.height):
        try:
            picture.load()
            _mend_transparency(picture, data)
            return _finished(picture, _upright(picture), settings, notes)
        except UnknownRangeError:
            raise
        except Exception as error:
            raise UnreadableError(_reason(error)) from error


def measure(data: bytes) -> ValueStatistics | None:
    """The values of a picture that need a range; None for bytes, and for a picture that cannot be read."""
    try:
        file, deep = _beyond_pillow(BytesIO(data))
        if deep is not None:
            _require_pixels(deep.width * deep.height)
            if not deep.needs_range:
                return None
            with PIXEL_QUOTA.reserve(deep.width * deep.height):
                return measured(tiff.colour_values(tiff.read_colours(file.read(), deep), deep))
        picture = _open(file)
        if not is_deep(picture):
            return None
        with PIXEL_QUOTA.reserve(picture.width * picture.height):
            return measured(deep_values(picture))
    except Exception:  # noqa: BLE001 - decoding tells what is wrong with it
        return None


def _beyond_pillow(file: File) -> tuple[File, tiff.TiffHeader | None]:
    """The file, a TIFF with its full picture first, and the header of one that Pillow does not read whole."""
    file = full_picture_first(file)
    return file, tiff.read_deep_header(file)


def _decode_deep(
    data: bytes, header: tiff.TiffHeader, settings: DecodeSettings, notes: list[str]
) -> NDArray[np.uint8]:
    _require_pixels(header.width * header.height)
    with PIXEL_QUOTA.reserve(header.width * header.height):
        try:
            picture = tiff.to_picture(tiff.read_colours(data, header), header, settings.ranges)
            upright = (
                picture.transpose(_UPRIGHT[header.orientation]) if header.orientation in _UPRIGHT else picture
            )
            if header.profile and (header.photometric != tiff.CMYK or not header.alpha):
                upright.info["icc_profile"] = header.profile
            return _finished(upright, upright, settings, notes)
        except UnknownRangeError:
            raise
        except Exception as error:
            raise UnreadableError(_reason(error)) from error


def _finished(
    stored: Image.Image, upright: Image.Image, settings: DecodeSettings, notes: list[str]
) -> NDArray[np.uint8]:
    """The pixels of a loaded picture in sRGB, with the channels and size of `settings`."""
    if needs_conversion(stored):
        upright = _in_srgb(stored, upright, settings.ranges, notes)
    else:
        upright = to_8_bit_picture(upright, settings.ranges)
    flat = to_mode(upright, settings.known_channels(), settings.background)
    return to_array(fit_picture(flat, settings))


def _in_srgb(stored: Image.Image, upright: Image.Image, ranges: RangeChoice, notes: list[str]) -> Image.Image:
    picture = to_8_bit_picture(upright, ranges)
    transparency = picture.info.get("transparency")
    picture.info = (
        {**stored.info, "transparency": transparency}
        if transparency is not None
        else {name: value for name, value in stored.info.items() if name != "transparency"}
    )
    try:
        return to_srgb(picture, stored.mode in GREY_MODES, is_png=stored.format == "PNG")
    except BrokenProfileError as error:
        notes.append(f"its colour profile was ignored ({_reason(error)})")
        return picture


def _mend_transparency(picture: Image.Image, data: bytes) -> None:
    """Mends what Pillow leaves of a transparent level in greys below 8 bits, and of an unused alpha in BMP."""
    if picture.format == "PNG" and picture.mode == "L" and isinstance(picture.info.get("transparency"), int):
        depth = data[24]  # of IHDR, which comes first
        if depth < 8:
            # Pillow widens the levels to 0 to 255, but not the one that is transparent.
            picture.info["transparency"] *= 255 // (2**depth - 1)
    elif picture.format == "BMP" and picture.mode == "RGBA" and picture.getchannel("A").getextrema() == (0, 0):
        picture.putalpha(255)  # a file that leaves its fourth byte 0 is opaque everywhere


def _open(file: File) -> Image.Image:
    guarded = GuardedFile(file)
    try:
        formats = formats_of(guarded.start, file)
        picture = Image.open(guarded, formats=formats)  # type: ignore[arg-type] # it needs no more of a file
    except MissingReaderError as error:
        raise UnsupportedError(str(error)) from error
    except UnidentifiedImageError as error:
        kind = tiff.unsupported(file) or "not a PNG, JPEG or other picture that unnoise reads"
        raise UnreadableError(kind) from error
    except Image.DecompressionBombError as error:
        number = re.search(r"\d+", str(error))
        raise _too_large(int(number[0]) if number else LARGEST_PIXELS + 1) from error
    except Exception as error:
        # A damaged file can make Pillow raise almost anything, and must not end the whole run.
        raise UnreadableError(_reason(error)) from error
    _require_pixels(picture.width * picture.height)
    if picture.format == "JPEG" and picture.mode == "CMYK" and "adobe" not in picture.info:
        raise UnreadableError(  # its specification says one thing, browsers another
            "a CMYK JPEG without Adobe's marker, which would say whether its inks are inverted: save it as RGB"
        )
    guarded.opening = False
    return picture


def _require_pixels(pixels: int) -> None:
    if pixels > LARGEST_PIXELS:
        raise _too_large(pixels)


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
