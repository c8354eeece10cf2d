"""TIFF files of every depth, photometric interpretation and kind of alpha, and PNGs with odd chunks."""

import struct
import zlib
from io import BytesIO

import numpy as np
import tifffile

from helpers.data_files import png_chunk

DARK, LIGHT = 0.2, 0.8
"""The two halves of a test picture, in parts of its range."""
PHOTOMETRICS = ("minisblack", "miniswhite", "rgb", "separated")
ALPHAS = (None, "unassalpha", "assocalpha")
DEPTHS = {
    "uint8": 255,
    "uint16": 2**16 - 1,
    "12 bits in uint16": 2**12 - 1,
    "int16": 2**15 - 1,
    "uint32": 2**32 - 1,
    "int32": 2**31 - 1,
    "float16": 1,
    "float32": 1,
    "float64": 1,
    "float32 to 255": 255,
    "float32 to 65535": 65535,
}
"""The white of each kind of number; the dtype is the first word, or the last of "in"."""


def dtype_of(depth: str) -> np.dtype:
    return np.dtype(depth.split(" in ")[-1].split(" ")[0])


def halves(left, right, width: int = 8) -> np.ndarray:
    """(H, W, C) floats: the left half of one colour, the right half of another."""
    pixels = np.empty((width, width, len(left)))
    pixels[:, : width // 2], pixels[:, width // 2 :] = left, right
    return pixels


def tiff_bytes(parts: np.ndarray, depth: str, photometric: str, alpha: str | None = None, **options) -> bytes:
    """A TIFF of samples given in parts of the range, (H, W, C), whatever they mean."""
    kind = dtype_of(depth)
    values = parts * DEPTHS[depth]
    stored = values.astype(kind) if kind.kind == "f" else np.rint(values).astype(kind)
    buffer = BytesIO()
    if stored.shape[2] == 1:
        stored = stored[..., 0]
    else:
        options = {**options, "planarconfig": "contig", "extrasamples": [alpha] if alpha else None}
    tifffile.imwrite(buffer, stored, photometric=photometric, metadata=None, **options)
    return buffer.getvalue()


def samples(left, right, photometric: str, alpha: str | None) -> np.ndarray:
    """What a file stores, (H, W, C) in parts of its range, to show these greys or colours, alpha last."""
    colours = halves(left, right)
    shown, opacity = (colours[..., :-1], colours[..., -1:]) if alpha else (colours, None)
    stored = {
        "minisblack": lambda: shown[..., :1],
        "miniswhite": lambda: 1 - shown[..., :1],
        "rgb": lambda: shown,
        "separated": lambda: np.concatenate([1 - shown, np.zeros_like(shown[..., :1])], axis=2),
    }[photometric]()
    if opacity is None:
        return stored
    if alpha == "assocalpha":
        stored = stored * opacity
    return np.concatenate([stored, opacity], axis=2)


def png_bytes(
    rows: list[bytes], depth: int, colour: int, chunks: tuple[tuple[bytes, bytes], ...] = ()
) -> bytes:
    """A PNG, as wide as high, of rows without filters, with chunks before its pixels."""
    header = struct.pack(">IIBBBBB", len(rows), len(rows), depth, colour, 0, 0, 0)
    return b"".join(
        [
            b"\x89PNG\r\n\x1a\n",
            png_chunk(b"IHDR", header),
            *(png_chunk(kind, content) for kind, content in chunks),
            png_chunk(b"IDAT", zlib.compress(b"".join(b"\0" + row for row in rows))),
            png_chunk(b"IEND", b""),
        ]
    )


def packed_rows(left: int, right: int, bits: int, width: int = 8) -> list[bytes]:
    """Rows of a grey PNG of 1 to 16 bits, with two halves."""
    row = 0
    for level in [left] * (width // 2) + [right] * (width // 2):
        row = row << bits | level
    return [row.to_bytes(width * bits // 8, "big")] * width


def bmp_bytes(pixels: np.ndarray) -> bytes:
    """A BMP with a V4 header and an alpha mask, of RGBA (H, W, 4)."""
    height, width = pixels.shape[:2]
    stored = pixels[::-1, :, [2, 1, 0, 3]].astype(np.uint8).tobytes()
    masks = struct.pack("<IIII", 0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    header = struct.pack("<IiiHHIIiiII", 108, width, height, 1, 32, 3, len(stored), 0, 0, 0, 0)
    header += masks + b"BGRs" + b"\0" * 48
    offset = 14 + len(header)
    return b"BM" + struct.pack("<IHHI", offset + len(stored), 0, 0, offset) + header + stored
