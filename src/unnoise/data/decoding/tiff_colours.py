"""YCbCr and CIELab samples of TIFF files, as RGB or as bytes of Lab."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

_CB_BLUE, _CR_RED = 1.772, 1.402
_CB_GREEN, _CR_GREEN = -0.344136, -0.714136
"""ITU-R BT.601, full range: the default of TIFF 6.0, section 21."""


def rgb_from_ycbcr(values: "NDArray[Any]") -> NDArray[np.uint8]:
    """RGB bytes of Y, Cb and Cr, (H, W, 3), unsigned integers of any depth.

    Raises:
        ValueError: for other numbers.
    """
    if values.dtype.kind != "u":
        raise ValueError(f"its YCbCr values are {values.dtype}, not unsigned integers")
    parts = values.astype(np.float32) * np.float32(255 / np.iinfo(values.dtype).max)
    luma, blue, red = parts[..., 0], parts[..., 1] - 128, parts[..., 2] - 128
    colours = np.stack(
        [luma + _CR_RED * red, luma + _CB_GREEN * blue + _CR_GREEN * red, luma + _CB_BLUE * blue], axis=-1
    )
    pixels: NDArray[np.uint8] = np.rint(np.clip(colours, 0, 255)).astype(np.uint8)
    return pixels


def unpacked_ycbcr(
    strips: Sequence[bytes], height: int, width: int, rows_per_strip: int, subsampling: tuple[int, ...]
) -> NDArray[np.uint8]:
    """Y, Cb and Cr, (H, W, 3), from strips of data units: the lumas of a block, then its Cb and Cr.

    Args:
        strips: uncompressed bytes.
        height, width: of the picture.
        rows_per_strip: of all strips but the last.
        subsampling: columns and rows of a block (TIFF 6.0, YCbCrSubSampling).

    Raises:
        ValueError: if a strip is shorter than its rows.
    """
    across, down = subsampling
    columns = -(-width // across)
    bands = []
    for number, strip in enumerate(strips):
        rows = -(-min(rows_per_strip, height - number * rows_per_strip) // down)
        units = np.frombuffer(strip, np.uint8, rows * columns * (across * down + 2))
        units = units.reshape(rows, columns, across * down + 2)
        luma = units[..., :-2].reshape(rows, columns, down, across).swapaxes(1, 2)
        chroma = units[..., -2:].repeat(down, 0).repeat(across, 1)
        band = np.concatenate([luma.reshape(rows * down, columns * across, 1), chroma], axis=2)
        bands.append(band[:rows_per_strip, :width])
    return np.concatenate(bands)[:height]


def lab_bytes(values: "NDArray[Any]", *, icc: bool) -> NDArray[np.uint8]:
    """L, a and b, (H, W, 3), as bytes: L from 0 to 255 for 0 to 100, a and b signed, as Pillow takes them.

    Args:
        values: of 8 or 16 bits; 16 bits have 1/256 of a unit of a and b.
        icc: whether a and b are stored with an offset (ICCLab), rather than signed (CIELab).

    Raises:
        ValueError: for another depth.
    """
    deep = values.dtype.itemsize == 2
    if values.dtype.kind not in "ui" or values.dtype.itemsize > 2:
        raise ValueError(f"its Lab values are {values.dtype}, not integers of 8 or 16 bits")
    kind = np.dtype(f"u{values.dtype.itemsize}")
    lightness, colours = values[..., :1].astype(kind), values[..., 1:].astype(kind)
    white = (0xFF00 if icc else 0xFFFF) if deep else 0xFF
    light = lightness.astype(np.float32) * np.float32(255 / white)
    middle = 0 if icc else (0x8000 if deep else 0x80)
    offset = (colours ^ kind.type(middle)).astype(np.float32) / (256 if deep else 1)
    lab: NDArray[np.uint8] = np.rint(np.clip(np.concatenate([light, offset], axis=2), 0, 255)).astype(np.uint8)
    lab[..., 1:] ^= np.uint8(0x80)
    return lab
