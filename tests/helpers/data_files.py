"""Picture files, IDX files and PNG chunks for tests."""

import gzip
import struct
import zlib
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from unnoise.data.decoding.conversion import DecodeSettings
from unnoise.data.decoding.decode import decode
from unnoise.data.decoding.value_range import ValueRange


def file_bytes(picture: Image.Image, kind: str = "PNG", **options) -> bytes:
    buffer = BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def plain(colour=(10, 20, 30), size=(4, 4), mode="RGB") -> Image.Image:
    """One colour; the size is (width, height), as Pillow has it."""
    return Image.new(mode, size, colour)


def decoded(data: bytes, size=(2, 2), channels=3, **options) -> np.ndarray:
    return decode(data, DecodeSettings(size, channels, **options))


def full_range(kind: str, high: float, low: float = 0) -> tuple[ValueRange, ...]:
    return (ValueRange(kind, low, high),)


def save_many(folder: Path, colours: dict[str, tuple[int, int, int]], size=(4, 4)) -> Path:
    for name, colour in colours.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        plain(colour, size).save(path)
    return folder


def idx_bytes(array: np.ndarray) -> bytes:
    return struct.pack(f">I{array.ndim}I", 0x0800 + array.ndim, *array.shape) + array.tobytes()


def write_idx_gz(path: Path, array: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(idx_bytes(array), mtime=0))
    return path


def png_chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png_with_key(array: np.ndarray, key: int) -> bytes:
    """A grey PNG, 8 or 16 bit, in which one grey is transparent (tRNS)."""
    height, width = array.shape
    depth = array.dtype.itemsize * 8
    rows = b"".join(b"\0" + row.astype(array.dtype.newbyteorder(">")).tobytes() for row in array)
    header = struct.pack(">IIBBBBB", width, height, depth, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + png_chunk(b"IHDR", header)
        + png_chunk(b"tRNS", struct.pack(">H", key))
        + png_chunk(b"IDAT", zlib.compress(rows))
        + png_chunk(b"IEND", b"")
    )


def random_photos(folder: Path, count: int = 6, size: tuple[int, int] = (20, 14)) -> Path:
    """A new folder of RGBA noise, `0.PNG` and so on; the size is (width, height)."""
    folder.mkdir()
    random = np.random.default_rng(0)
    for number in range(count):
        pixels = random.integers(0, 256, (size[1], size[0], 4), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.PNG")
    return folder


def cmyk_without_marker() -> bytes:
    """A CMYK JPEG without Adobe's marker, which Pillow writes into each."""
    data = file_bytes(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG", quality=100)
    start = data.index(b"\xff\xee")
    return data[:start] + data[start + 2 + int.from_bytes(data[start + 2 : start + 4], "big") :]
