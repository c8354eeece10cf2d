"""TIFF reader for what Pillow does not read whole: deep and signed integers, floats, and their colours.

Pillow reads TIFFs of up to 8 bits. It reads others only in part, and takes 16-bit WhiteIsZero as its negative.
"""

import logging
from io import BufferedReader, BytesIO
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from unnoise.data.decoding import tiff_pages as tags
from unnoise.data.decoding.tiff_colours import lab_bytes, rgb_from_ycbcr, unpacked_ycbcr
from unnoise.data.decoding.value_range import RangeChoice, kind_of, range_for, to_8_bits

_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, CMYK, _YCBCR, CIELAB, ICCLAB = 0, 1, 2, 5, 6, 8, 9
"""Photometric interpretations."""
_COLOURS = {_WHITE_IS_ZERO: 1, _BLACK_IS_ZERO: 1, _RGB: 3, CMYK: 4, _YCBCR: 3, CIELAB: 3, ICCLAB: 3}
_ASSOCIATED, _UNASSOCIATED = 1, 2
_NUMBERS = {1: "u", 2: "i", 3: "f", 4: "u"}
_UNPACKED_BYTES = 2**31
_SILENT = logging.NullHandler()
_NOT_PACKED = 1


class TiffHeader(NamedTuple):
    """Tags of the first picture in a TIFF file (TIFF 6.0, section 8)."""

    width: int
    height: int
    bits: int
    number: str
    """Kind of its numbers: u unsigned, i signed, f float."""
    photometric: int
    samples: int
    compression: int
    separate: bool
    """Whether each sample has a plane of its own."""
    subsampling: tuple[int, ...]
    """Columns and rows that share a chroma of YCbCr; empty if it is not stated."""
    extra: tuple[int, ...]
    """What the samples beyond the colours are: 1 associated alpha, 2 unassociated alpha, 0 unknown."""
    orientation: int
    profile: bytes

    @property
    def colours(self) -> int:
        """The number of samples that are colours: 1 for grey, 4 for CMYK, else 3."""
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

    @property
    def needs_range(self) -> bool:
        """Whether black and white are unknown: not those of bytes, YCbCr and Lab."""
        fixed = self.photometric in {_YCBCR, CIELAB, ICCLAB}
        return not fixed and (self.bits, self.number) != (8, "u")

    @property
    def is_beyond_pillow(self) -> bool:
        """Whether Pillow does not read these values, or not whole."""
        return (
            self.bits > 8
            or self.number != "u"
            or self.photometric == ICCLAB
            # Pillow knows no greys with alpha that they are multiplied by, nor with samples of another kind.
            or (self.colours == 1 and self.samples > 1 and self.extra != (_UNASSOCIATED,))
            or (self.photometric == CMYK and self.samples > self.colours)
            or (self.photometric == _YCBCR and (self.compression == _NOT_PACKED or self.separate))
        )


def read_deep_header(file: BytesIO | BufferedReader) -> TiffHeader | None:
    """The header of a TIFF that Pillow does not read whole, mostly for its depth; None for any other file.

    The file is left at its beginning.
    """
    found = tags.first_tags(file)
    if not found or found.get(tags.WIDTH, (0,))[0] < 1 or found.get(tags.HEIGHT, (0,))[0] < 1:
        return None
    bits = max(found.get(tags.BITS, (1,)))
    number = _NUMBERS.get(found.get(tags.FORMAT, (1,))[0])
    photometric = found.get(tags.PHOTOMETRIC, (_BLACK_IS_ZERO,))[0]
    if bits not in {8, 10, 12, 14, 16, 24, 32, 64} or number is None or photometric not in _COLOURS:
        return None
    header = TiffHeader(
        found[tags.WIDTH][0],
        found[tags.HEIGHT][0],
        bits,
        number,
        photometric,
        found.get(tags.SAMPLES, (1,))[0],
        found.get(tags.COMPRESSION, (_NOT_PACKED,))[0],
        found.get(tags.PLANES, (1,))[0] == 2,
        found.get(tags.SUBSAMPLING, ()),
        found.get(tags.EXTRA, ()),
        found.get(tags.ORIENTATION, (1,))[0],
        bytes(found.get(tags.PROFILE, ())),
    )
    start = file.read(4)
    file.seek(0)
    # Pillow reads no BigTIFF whose greatest byte comes first.
    return header if header.is_beyond_pillow or (start == b"MM\0+" and bits == 8) else None


def unsupported(file: BytesIO | BufferedReader) -> str | None:
    """What a TIFF that cannot be read is, in words; None for a file of another kind."""
    found = tags.first_tags(file)
    if found is None:
        return None
    photometric = found.get(tags.PHOTOMETRIC, (_BLACK_IS_ZERO,))[0]
    bits = " + ".join(map(str, found.get(tags.BITS, (1,))))
    return (
        f"a TIFF of a kind that cannot be read ({bits} bits, compression "
        f"{found.get(tags.COMPRESSION, (_NOT_PACKED,))[0]}, photometric interpretation "
        f"{tags.PHOTOMETRICS.get(photometric, photometric)}): save it as a plain grey or RGB TIFF, or as PNG"
    )


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

    logging.getLogger("tifffile").addHandler(_SILENT)  # what is wrong is told by the caller
    with tifffile.TiffFile(BytesIO(data)) as file:
        page = file.pages.first
        if header.photometric == _YCBCR and header.bits == 8 and not (header.separate or page.is_tiled):
            places = zip(page.dataoffsets, page.databytecounts, strict=True)
            strips = [data[start : start + size] for start, size in places]
            whole = 3 * header.height * header.width == sum(map(len, strips))
            blocks = header.subsampling or ((1, 1) if whole else (2, 2))
            return unpacked_ycbcr(strips, header.height, header.width, page.rowsperstrip, blocks)
        values = np.asarray(page.asarray(maxworkers=1))
        separate = page.planarconfig == 2 and header.samples > 1
    return np.moveaxis(values, 0, -1) if separate else values.reshape(*values.shape[:2], -1)


def _by_pillow(data: bytes, header: TiffHeader) -> NDArray[Any]:
    """The values as Pillow reads them: greys whole, colours of 16 bits without their lower half."""
    with Image.open(BytesIO(data), formats=("TIFF",)) as picture:
        # Pillow turns a TIFF upright by itself. Here its orientation is applied later.
        picture.getexif().pop(tags.ORIENTATION, None)
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
    """A Pillow picture of 8 bits: L, LA, RGB, RGBA, CMYK or LAB.

    Raises:
        UnknownRangeError: if the range is not known.
    """
    if header.photometric in {CIELAB, ICCLAB}:
        lab = lab_bytes(colour_values(values, header), icc=header.photometric == ICCLAB)
        return Image.frombytes("LAB", (header.width, header.height), lab.tobytes())
    if header.photometric == _YCBCR:
        return _picture(rgb_from_ycbcr(colour_values(values, header)))
    colours = to_8_bits(colour_values(values, header), ranges)
    if header.photometric == _WHITE_IS_ZERO:
        colours = 255 - colours
    if header.photometric == CMYK and not header.alpha:
        return Image.frombytes("CMYK", (header.width, header.height), colours.tobytes())
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
