"""Array files (.npy, .npz, IDX) of pictures and labels, checked before they are used."""

import gzip
import math
import struct
import zlib
from io import BufferedReader
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from unnoise.data.decoding.layouts import channels_last
from unnoise.data.decoding.numpy_files import map_npy, open_npz
from unnoise.data.decoding.value_range import RangeChoice, to_8_bits
from unnoise.data.limits import LARGE_ARRAY, LARGEST_PIXELS, require_plausible_size
from unnoise.utils.errors import UnnoiseError, require, require_permitted

_IDX_IMAGES = {0x00000803: 3, 0x00000804: 4}
_IDX_LABELS = {0x00000801: 1}
_BROKEN_IDX = (OSError, EOFError, zlib.error, ValueError)
_NPZ_LABELS = ("labels", "y", "arr_1")
_BLOCK = 2**20


class StoredArray(NamedTuple):
    """An array of pictures, (N, H, W, C), and the shape under which its file has it."""

    pixels: NDArray[Any]
    stored: tuple[int, ...]


def read_array(path: Path, layout: str | None = None) -> StoredArray:
    """Reads the pictures of a .npy (memory-mapped), .npz or IDX file (plain or .gz).

    The dtype is that of the file: bool, integers or floats. Raises UnnoiseError for anything else.

    Args:
        path: the file.
        layout: a letter for each axis, such as NCHW; None finds it from the shape.
    """
    if path.suffix.lower() == ".npy":
        array = map_npy(path)
    elif path.suffix.lower() == ".npz":
        array = _read_npz(path)
    else:
        array = read_idx(path)
    _require_pictures(array, path)
    return StoredArray(channels_last(array, str(path), layout), array.shape)


def to_bytes(array: NDArray[Any], source: str, ranges: RangeChoice) -> NDArray[np.uint8]:
    """Converts an array of any numbers to uint8: true is 255, and other numbers are scaled by their range.

    Raises:
        UnnoiseError: for values that are not finite.
        UnknownRangeError: if the range of these numbers is not known.
    """
    if array.dtype == np.bool_:
        return array.astype(np.uint8) * np.uint8(255)
    if array.dtype.kind == "f":
        require(
            bool(np.isfinite(array).all()),
            f"{source!r} has values that are not finite numbers (NaN or infinity). Replace them, with "
            f"numpy.nan_to_num for one.",
        )
    return to_8_bits(array, ranges)


def read_idx(path: Path) -> NDArray[np.uint8]:
    """Reads the pictures of an IDX file, the format of MNIST, as uint8 of 3 or 4 dimensions.

    The file is a big-endian magic number, the dimensions, then bytes. Raises UnnoiseError for a file that is
    damaged or holds labels.
    """
    try:
        return _read_idx(path, _IDX_IMAGES)
    except _BROKEN_IDX as error:
        require_permitted(path, error)
        raise UnnoiseError(
            f"Cannot read the IDX file of pictures {str(path)!r}: {error}. Fetch it again, or name the file "
            f"whose name ends in images-idx3-ubyte."
        ) from error


def read_idx_labels(path: Path) -> NDArray[np.uint8]:
    """Reads an IDX file of labels as uint8 (N,); raises UnnoiseError if it is damaged or holds pictures."""
    try:
        return _read_idx(path, _IDX_LABELS)
    except _BROKEN_IDX as error:
        require_permitted(path, error)
        raise UnnoiseError(
            f"Cannot read the IDX file of labels {str(path)!r}: {error}. Fetch it again, or name the file "
            f"whose name ends in labels-idx1-ubyte."
        ) from error


def _read_idx(path: Path, dimensions: dict[int, int]) -> NDArray[np.uint8]:
    size = path.stat().st_size
    with gzip.open(path) if path.suffix.lower() == ".gz" else path.open("rb") as file:
        return _parse_idx(file, dimensions, size)


def _parse_idx(file: gzip.GzipFile | BufferedReader, accepted: dict[int, int], size: int) -> NDArray[np.uint8]:
    """Reads an IDX file with one of the accepted magic numbers; raises ValueError with the reason else."""
    head = file.read(4)
    magic = struct.unpack(">I", head)[0] if len(head) == 4 else -1
    if magic not in accepted:
        if magic in _IDX_LABELS | _IDX_IMAGES:
            raise ValueError("it holds labels" if magic in _IDX_LABELS else "it holds pictures")
        expected = " or ".join(f"{one:08x}" for one in accepted)
        raise ValueError(f"it begins with {head.hex() or 'nothing'}, not with {expected}")
    dimensions = accepted[magic]
    head = file.read(4 * dimensions)
    if len(head) < 4 * dimensions:
        raise ValueError("it ends within its header")
    shape = struct.unpack(f">{dimensions}I", head)
    stated = math.prod(shape)
    content = bytearray()
    # Block by block: a damaged header may state more than any memory holds.
    while len(content) <= stated and (block := file.read(_BLOCK)):
        content += block
        require_plausible_size(len(content), size, LARGE_ARRAY)
    if len(content) != stated:
        found = "more" if len(content) > stated else f"only {len(content):,}"
        raise ValueError(f"its dimensions {shape} need {stated:,} bytes, but it holds {found}")
    return np.frombuffer(content, np.uint8).reshape(shape)


def _read_npz(path: Path) -> NDArray[Any]:
    with open_npz(path) as archive:
        if "images" in archive.names:
            return archive.read("images")
        shapes = {name: archive.shape(name) for name in archive.names}
        fitting = [name for name, shape in shapes.items() if len(shape) in {3, 4}]
        require(
            len(fitting) == 1,
            f"Cannot tell which array of {str(path)!r} holds the pictures: it has "
            f"{', '.join(f'{n} {shape}' for n, shape in shapes.items()) or 'no arrays'}. Save them under the "
            f"name 'images', with np.savez(path, images=...).",
        )
        return archive.read(fitting[0])


def read_npz_labels(path: Path) -> NDArray[Any] | None:
    """The array `labels`, `y` or `arr_1` of a .npz, or None if it has none of them."""
    with open_npz(path) as archive:
        found = next((name for name in _NPZ_LABELS if name in archive.names), None)
        return None if found is None else archive.read(found)


def _require_pictures(array: NDArray[Any], path: Path) -> None:
    """Raises UnnoiseError for shapes and dtypes that no pictures have."""
    require(
        array.ndim in {3, 4} and 0 not in array.shape,
        f"An array of pictures has the shape (N, H, W), (N, H, W, C) or (N, C, H, W), but that of "
        f"{str(path)!r} has {array.shape}. Reshape it.",
    )
    require(
        math.prod(array.shape[1:]) <= 4 * LARGEST_PIXELS,
        f"The pictures of {str(path)!r} are too large: {array.shape[1:]} each, over the limit of "
        f"{4 * LARGEST_PIXELS:,} numbers. Reshape the array.",
    )
    require(
        array.dtype.kind in "buif",
        f"An array of pictures holds numbers, but that of {str(path)!r} holds {array.dtype}. Save it as uint8, "
        f"uint16 or float32.",
    )
