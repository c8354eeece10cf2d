"""TIFF reader for what Pillow does not read whole: deep and signed integers, floats, and their colours.

Pillow reads TIFFs of up to 8 bits. It reads others only in part, and takes 16-bit WhiteIsZero as its negative.
"""

import struct
from io import BufferedReader, BytesIO
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from unnoise.data.decoding.value_range import RangeChoice, kind_of, range_for, to_8_bits

_ORDERS = {b"II*\0": "<", b"MM\0*": ">"}
_SIZES = {1: (1, "B"), 3: (2, "H"), 4: (4, "I"), 7: (1, "B")}
_MOST_TAGS = 4096
_LONGEST_PROFILE = 8 * 2**20
_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _ORIENTATION, _SAMPLES = 256, 257, 258, 259, 262, 274, 277
_EXTRA, _FORMAT, _PROFILE = 338, 339, 34675
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, CMYK = 0, 1, 2, 5
"""Photometric interpretations."""
_COLOURS = {_WHITE_IS_ZERO: 1, _BLACK_IS_ZERO: 1, _RGB: 3, CMYK: 4}
_ASSOCIATED, _UNASSOCIATED = 1, 2
_NUMBERS = {1: "u", 2: "i", 3: "f"}
_UNPACKED_BYTES = 2**31


class TiffHeader(NamedTuple):
    """Tags of the first picture in a TIFF file (TIFF 6.0, section 8)."""

    width: int
    height: int
    bits: int
    number: str
    """Kind of its numbers: u unsigned, i signed, f float."""
    photometric: int
    samples: int
    extra: tuple[int, ...]
    """What the samples beyond the colours are: 1 associated alpha, 2 unassociated alpha, 0 unknown."""
    orientation: int
    profile: bytes

    @property
    def colours(self) -> int:
        """The number of samples that are colours: 1 for grey, 3 for RGB, 4 for CMYK."""
        return _COLOURS[self.photometric]

    @property
    def alpha(self) -> int:
        """Associated (1) or unassociated (2) alpha, or 0 for none."""
        first = self.extra[0] if self.extra and self.samples > self.colours else 0
        return first if first in {_ASSOCIATED, _UNASSOCIATED} else 0

    @property
    def mode(self) -> str:
        """The mode of Pillow that comes nearest."""
        if self.photometric == CMYK:
            return "CMYK"
        if self.colours == 1:
            deep = "F" if self.number == "f" else "I;16" if (self.bits, self.number) == (16, "u") else "I"
            return "LA" if self.alpha else deep
        return "RGBA" if self.alpha else "RGB"


def read_deep_header(file: BytesIO | BufferedReader) -> TiffHeader | None:
    """The header of a TIFF that Pillow does not read whole, mostly for its depth; None for any other file.

    The file is left at its beginning.
    """
    try:
        tags = _read_tags(file)
    except (struct.error, ValueError, OSError, OverflowError):
        tags = None
    file.seek(0)
    if not tags or tags.get(_WIDTH, (0,))[0] < 1 or tags.get(_HEIGHT, (0,))[0] < 1:
        return None
    bits = max(tags.get(_BITS, (1,)))
    number = _NUMBERS.get(tags.get(_FORMAT, (1,))[0])
    photometric = tags.get(_PHOTOMETRIC, (_BLACK_IS_ZERO,))[0]
    if bits not in {8, 10, 12, 14, 16, 24, 32, 64} or number is None or photometric not in _COLOURS:
        return None
    header = TiffHeader(
        tags[_WIDTH][0],
        tags[_HEIGHT][0],
        bits,
        number,
        photometric,
        tags.get(_SAMPLES, (1,))[0],
        tags.get(_EXTRA, ()),
        tags.get(_ORIENTATION, (1,))[0],
        bytes(tags.get(_PROFILE, ())),
    )
    # Of 8 bits, Pillow lacks greys with alpha that they are multiplied by.
    return header if bits > 8 or (header.colours, header.alpha) == (1, _ASSOCIATED) else None


def _read_tags(file: BytesIO | BufferedReader) -> dict[int, tuple[int, ...]] | None:
    """The tags that matter here, of the first picture; None for a file that is not a TIFF."""
    head = file.read(8)
    order = _ORDERS.get(head[:4])
    if order is None:
        return None
    file.seek(struct.unpack(order + "I", head[4:])[0])
    (count,) = struct.unpack(order + "H", file.read(2))
    entries = file.read(12 * min(count, _MOST_TAGS))
    wanted = {
        _WIDTH,
        _HEIGHT,
        _BITS,
        _COMPRESSION,
        _PHOTOMETRIC,
        _ORIENTATION,
        _SAMPLES,
        _EXTRA,
        _FORMAT,
        _PROFILE,
    }
    tags: dict[int, tuple[int, ...]] = {}
    for place in range(0, len(entries) - 11, 12):
        tag, kind, length = struct.unpack_from(order + "HHI", entries, place)
        longest = _LONGEST_PROFILE if tag == _PROFILE else 16
        if tag not in wanted or kind not in _SIZES or not 1 <= length <= longest:
            continue
        size, code = _SIZES[kind]
        data = entries[place + 8 : place + 8 + size * length]
        if size * length > 4:
            file.seek(struct.unpack_from(order + "I", entries, place + 8)[0])
            data = file.read(size * length)
        tags[tag] = tuple(data) if size == 1 else struct.unpack(f"{order}{length}{code}", data)
    return tags


def read_colours(data: bytes, header: TiffHeader) -> NDArray[Any]:
    """The samples of the first picture, (H, W, samples), as they are stored.

    Raises:
        ValueError: with the reason, for a compression that cannot be read, or damaged content.
    """
    stated = header.width * header.height * header.samples * max(1, header.bits // 8)
    if stated > _UNPACKED_BYTES:
        raise ValueError(f"it takes {stated / 2**30:.1f} GB unpacked: make it smaller")
    try:
        values = _by_tifffile(data, header)
    except Exception as error:  # noqa: BLE001
        # Damaged bytes make tifffile raise almost anything. Pillow knows compressions that it does not.
        try:
            values = _by_pillow(data, header)
        except Exception:  # noqa: BLE001 - the first error says more
            reason = str(error).split("\n")[0].strip().rstrip(".") or type(error).__name__
            remedy = ": run pip install imagecodecs" if "imagecodecs" in reason else ""
            raise ValueError(f"{reason}{remedy}") from error
    if values.shape != (header.height, header.width, header.samples):
        raise ValueError(f"its pixels have the shape {values.shape}, which its header does not state")
    return values


def _by_tifffile(data: bytes, header: TiffHeader) -> NDArray[Any]:
    import tifffile  # here, as it is slow to import and rarely needed

    with tifffile.TiffFile(BytesIO(data)) as file:
        page = file.pages.first
        values = np.asarray(page.asarray(maxworkers=1))
        separate = page.planarconfig == 2 and header.samples > 1
    return np.moveaxis(values, 0, -1) if separate else values.reshape(*values.shape[:2], -1)


def _by_pillow(data: bytes, header: TiffHeader) -> NDArray[Any]:
    """The values as Pillow reads them: greys whole, colours of 16 bits without their lower half."""
    with Image.open(BytesIO(data), formats=("TIFF",)) as picture:
        # Pillow turns a TIFF upright by itself. Here its orientation is applied later.
        picture.getexif().pop(_ORIENTATION, None)
        values = np.asarray(picture)
    if values.dtype == np.uint8:
        if (header.bits, header.number) != (16, "u"):
            raise ValueError("Pillow reads these values without their depth")
        return values.reshape(*values.shape[:2], -1).astype(np.uint16) * np.uint16(257)
    kind = np.dtype(f"{header.number}{max(2, values.dtype.itemsize)}")
    if header.bits == 16 and values.dtype == np.int32:
        kind = np.dtype("i2")
        values = values.astype(kind)
    return values.view(kind)[..., None]


def colour_values(values: NDArray[Any], header: TiffHeader) -> NDArray[Any]:
    """The samples that are colours: what a range is found from."""
    return values[..., : header.colours]


def to_picture(values: NDArray[Any], header: TiffHeader, ranges: RangeChoice) -> Image.Image:
    """A Pillow picture of 8 bits, L, LA, RGB or RGBA; raises UnknownRangeError if the range is not known."""
    colours = to_8_bits(colour_values(values, header), ranges)
    if header.photometric == _WHITE_IS_ZERO:
        colours = 255 - colours
    if header.photometric == CMYK:
        light = 255 - colours.astype(np.uint16)
        colours = ((light[..., :3] * light[..., 3:] + 127) // 255).astype(np.uint8)
    if not header.alpha:
        return _picture(colours)
    alpha = _alpha(values[..., header.colours], ranges)
    if header.alpha == _ASSOCIATED:
        seen = np.maximum(alpha, 1).astype(np.float32)[..., None]
        colours = np.rint(np.clip(colours * (255 / seen), 0, 255)).astype(np.uint8)
    return _picture(np.concatenate([colours, alpha[..., None]], axis=2))


def _alpha(values: NDArray[Any], ranges: RangeChoice) -> NDArray[np.uint8]:
    """Alpha as bytes: 0 is transparent; opaque is 1 for floats up to 1, else the white of the colours."""
    if values.dtype == np.uint8:
        return values
    high = range_for(kind_of(values), ranges).high
    if values.dtype.kind == "f" and not values.max() > 1:
        high = 1.0
    scaled = np.nan_to_num(values.astype(np.float64)) * (255 / high)
    return np.rint(np.clip(scaled, 0, 255)).astype(np.uint8)


def _picture(pixels: NDArray[np.uint8]) -> Image.Image:
    return Image.fromarray(np.ascontiguousarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels))
