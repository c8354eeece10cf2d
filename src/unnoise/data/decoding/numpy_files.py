"""Safe reading of .npy and .npz files: headers are checked first, and pickles are refused."""

import math
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from unnoise.data.limits import LARGE_ARRAY, require_plausible_member
from unnoise.utils.errors import UnnoiseError, require_permitted
from unnoise.utils.pickles import PICKLES_REFUSED, pickle_kind

LONGEST_HEADER = 10_000
"""In bytes; numpy refuses a longer one as well, but only after it has read all of it."""


@runtime_checkable
class Readable(Protocol):
    """An open file, or an open member of a zip."""

    def read(self, size: int = -1, /) -> bytes:
        """The next bytes."""
        ...


class NpzArchive:
    """The arrays of an open .npz by name; each is unpacked when it is read."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        self._members = {
            info.filename.removesuffix(".npy"): info
            for info in archive.infolist()
            if info.filename.endswith(".npy")
        }

    @property
    def names(self) -> list[str]:
        """Names of the arrays, in their order."""
        return list(self._members)

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of an array from its header; nothing else is unpacked."""
        with self._archive.open(self._members[name]) as file:
            return _header(file)[0]

    def read(self, name: str) -> NDArray[Any]:
        """Reads an array.

        Raises:
            ValueError: for Python objects, or for content that contradicts the header.
        """
        info = self._members[name]
        require_plausible_member(info, LARGE_ARRAY)
        with self._archive.open(info) as file:
            shape, kind = _header(file)
            stated = math.prod(shape) * kind.itemsize
            if stated > info.file_size:
                raise ValueError(f"its shape {shape} needs {stated:,} bytes, but it holds fewer")
        with self._archive.open(info) as file:
            array: NDArray[Any] = np.lib.format.read_array(file, allow_pickle=False)
        return array


@contextmanager
def open_npz(path: Path) -> Iterator[NpzArchive]:
    """Opens a .npz; whatever goes wrong inside the block becomes an UnnoiseError."""
    with _errors_explained(path), zipfile.ZipFile(path) as archive:
        yield NpzArchive(archive)


def map_npy(path: Path) -> NDArray[Any]:
    """Maps the array of a .npy file into memory; raises UnnoiseError for anything else."""
    with _errors_explained(path):
        pickled = pickle_kind(path)
        if pickled is not None:
            raise ValueError(f"it is {pickled}, and {PICKLES_REFUSED}")
        with path.open("rb") as file:
            shape, kind = _header(file)
            there = path.stat().st_size - file.tell()
        if math.prod(shape) * kind.itemsize > there:
            raise ValueError(f"its shape {shape} needs more than the {there:,} bytes that it holds")
        array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    return array


def _header(file: Readable) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Shape and dtype of the array that follows; raises ValueError for Python objects and bad headers."""
    form = np.lib.format
    width = 2 if form.read_magic(file) == (1, 0) else 4
    length = file.read(width)
    stated = int.from_bytes(length, "little")
    if len(length) < width or stated > LONGEST_HEADER:
        raise ValueError(f"its header has {stated:,} bytes, over the limit of {LONGEST_HEADER:,}")
    text = BytesIO(length + file.read(stated))
    try:
        shape, _, kind = form.read_array_header_1_0(text) if width == 2 else form.read_array_header_2_0(text)
    except Exception as error:
        # The header is a Python expression; on anything else Python's parser may raise almost any error.
        raise ValueError("its header describes no array") from error
    if kind.hasobject:
        raise ValueError(f"it holds pickled Python objects, and {PICKLES_REFUSED}")
    return shape, kind


@contextmanager
def _errors_explained(path: Path) -> Iterator[None]:
    """Turns any error inside the block into an UnnoiseError that names the file."""
    try:
        yield
    except UnnoiseError:
        raise
    except Exception as error:
        require_permitted(path, error)
        # Damaged or hostile bytes make numpy and zipfile raise almost anything.
        reason = str(error).split("\n")[0].strip().rstrip(".") or type(error).__name__
        raise UnnoiseError(
            f"Cannot read the {path.suffix.lower()} file {str(path)!r}: {reason}. Save it again with numpy, as "
            f"plain numbers."
        ) from error
