"""A file of numbers (.npy, .npz or IDX) is one array of pictures, checked before it is believed."""

import gzip
import math
import struct
import zlib
from io import BufferedReader
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unnoise.data.decoding.decode import LARGEST_PIXELS
from unnoise.data.sources.numpy_files import mapped, opened
from unnoise.data.sources.unpack_limits import LARGE_ARRAY, require_sane
from unnoise.utils.errors import UnnoiseError, require

_IDX_IMAGES = {0x00000803: 3, 0x00000804: 4}
_IDX_LABELS = {0x00000801: 1}
_BROKEN_IDX = (OSError, EOFError, zlib.error, ValueError)
_NPZ_LABELS = ("labels", "y", "arr_1")
_PIECE = 2**20
_PICTURE_CHANNELS = range(1, 5)


def read_array(path: Path) -> NDArray[Any]:
    """Reads .npy (memory-mapped), .npz or IDX (plain or .gz), by its suffix, as (N, H, W, C).

    The numbers are as they lie in the file: uint8, bool, or floats. Raises UnnoiseError for anything else.
    """
    if path.suffix.lower() == ".npy":
        array = mapped(path)
    elif path.suffix.lower() == ".npz":
        array = _read_npz(path)
    else:
        array = read_idx(path)
    return _with_layout(array, path)


def to_bytes(array: NDArray[Any], source: str) -> NDArray[np.uint8]:
    """Converts uint8, bool or floats in [0, 1] to uint8; raises UnnoiseError where floats lie outside."""
    if array.dtype == np.uint8:
        return array
    if array.dtype == np.bool_:
        return array.astype(np.uint8) * np.uint8(255)
    low, high = float(array.min()), float(array.max())
    require(
        low >= 0 and high <= 1,  # false for NaN as well
        f"An array of floats must lie in [0, 1], but {source!r} has values from {low:g} to {high:g}: "
        f"rescale it, or save it as uint8.",
    )
    return np.rint(array.astype(np.float64) * 255).astype(np.uint8)


def read_idx(path: Path) -> NDArray[np.uint8]:
    """Reads the IDX format of MNIST: a big-endian magic number, the dimensions, then bytes.

    Returns uint8 of 3 or 4 dimensions; raises UnnoiseError for a file that is damaged or holds labels.
    """
    try:
        return _read_idx(path, _IDX_IMAGES)
    except _BROKEN_IDX as error:
        raise UnnoiseError(
            f"An IDX file of pictures must be whole and of 3 or 4 dimensions, but {str(path)!r} cannot be used "
            f"({error}): fetch it again, or name the file whose name ends in images-idx3-ubyte."
        ) from error


def read_idx_labels(path: Path) -> NDArray[np.uint8]:
    """Reads an IDX file of labels, uint8 (N,); raises UnnoiseError for what is damaged or holds pictures."""
    try:
        return _read_idx(path, _IDX_LABELS)
    except _BROKEN_IDX as error:
        raise UnnoiseError(
            f"An IDX file of labels must be whole and of 1 dimension, but {str(path)!r} cannot be used "
            f"({error}): fetch it again, or name the file whose name ends in labels-idx1-ubyte."
        ) from error


def _read_idx(path: Path, dimensions: dict[int, int]) -> NDArray[np.uint8]:
    size = path.stat().st_size
    with gzip.open(path) if path.suffix.lower() == ".gz" else path.open("rb") as file:
        return _parse_idx(file, dimensions, size)


def _parse_idx(file: gzip.GzipFile | BufferedReader, accepted: dict[int, int], size: int) -> NDArray[np.uint8]:
    """Reads what begins with an accepted magic number; raises ValueError, with the reason, for the rest."""
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
        raise ValueError("it ends within its first bytes")
    shape = struct.unpack(f">{dimensions}I", head)
    promised = math.prod(shape)
    content = bytearray()
    # Piece by piece: a damaged header may promise more than any memory holds.
    while len(content) <= promised and (piece := file.read(_PIECE)):
        content += piece
        require_sane(len(content), size, LARGE_ARRAY)
    if len(content) != promised:
        found = "more" if len(content) > promised else f"only {len(content)}"
        raise ValueError(f"its dimensions {shape} promise {promised} bytes, and it holds {found}")
    return np.frombuffer(content, np.uint8).reshape(shape)


def _read_npz(path: Path) -> NDArray[Any]:
    with opened(path) as archive:
        if "images" in archive.names:
            return archive.read("images")
        shapes = {name: archive.shape(name) for name in archive.names}
        fitting = [name for name, shape in shapes.items() if len(shape) in {3, 4}]
        require(
            len(fitting) == 1,
            f"A .npz file must hold its pictures under 'images', or just one array of 3 or 4 dimensions, but "
            f"{str(path)!r} holds {', '.join(f'{n} {shape}' for n, shape in shapes.items()) or 'nothing'}: "
            f"save it with np.savez(path, images=...).",
        )
        return archive.read(fitting[0])


def read_npz_labels(path: Path) -> NDArray[Any] | None:
    """The array `labels`, `y` or `arr_1` of a .npz, or None where it has none of them."""
    with opened(path) as archive:
        found = next((name for name in _NPZ_LABELS if name in archive.names), None)
        return None if found is None else archive.read(found)


def _with_layout(array: NDArray[Any], path: Path) -> NDArray[Any]:
    """Brings (N, H, W) and (N, C, H, W) to (N, H, W, C), as views; refuses what is no pictures."""
    require(
        array.ndim in {3, 4} and 0 not in array.shape,
        f"An array of pictures must have the shape (N, H, W), (N, H, W, C) or (N, C, H, W), but "
        f"{str(path)!r} has {array.shape}: reshape it.",
    )
    require(
        math.prod(array.shape[1:]) <= 4 * LARGEST_PIXELS,
        f"A picture in an array has at most {4 * LARGEST_PIXELS:,} numbers, but those of {str(path)!r} have "
        f"{array.shape[1:]}: reshape it.",
    )
    require(
        array.dtype in (np.uint8, np.bool_) or np.issubdtype(array.dtype, np.floating),
        f"An array of pictures must hold uint8 from 0 to 255 or floats from 0 to 1, but {str(path)!r} holds "
        f"{array.dtype}: convert it with .astype(numpy.uint8).",
    )
    if array.ndim == 3:
        return array[..., None]
    if array.shape[1] in _PICTURE_CHANNELS and array.shape[3] not in _PICTURE_CHANNELS:
        return array.transpose(0, 2, 3, 1)
    return array
