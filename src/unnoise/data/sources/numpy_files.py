"""What a .npy or .npz says of itself is checked before numpy believes it and makes room for it."""

import math
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from unnoise.data.sources.unpack_limits import LARGE_ARRAY, require_sane_member
from unnoise.utils.errors import UnnoiseError
from unnoise.utils.pickles import NEVER, pickle_in

LONGEST_HEADER = 10_000
"""In bytes; numpy refuses a longer one as well, but only after it has read all of it."""


@runtime_checkable
class Readable(Protocol):
    """An open file, or a member of a zip."""

    def read(self, size: int = -1, /) -> bytes:
        """The next bytes."""
        ...


class Archive:
    """The arrays of a .npz by name; each is unpacked when it is asked for."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        self._members = {
            info.filename.removesuffix(".npy"): info
            for info in archive.infolist()
            if info.filename.endswith(".npy")
        }

    @property
    def names(self) -> list[str]:
        """Of the arrays, in their order."""
        return list(self._members)

    def shape(self, name: str) -> tuple[int, ...]:
        """As the array's own header has it; nothing of it is unpacked."""
        with self._archive.open(self._members[name]) as file:
            return _header(file)[0]

    def read(self, name: str) -> NDArray[Any]:
        """The array; raises ValueError where it is no plain one, or its file is not what its header says."""
        info = self._members[name]
        require_sane_member(info, LARGE_ARRAY)
        with self._archive.open(info) as file:
            shape, kind = _header(file)
            promised = math.prod(shape) * kind.itemsize
            if promised > info.file_size:
                raise ValueError(f"its shape {shape} promises {promised:,} bytes, and it holds fewer")
        with self._archive.open(info) as file:
            array: NDArray[Any] = np.lib.format.read_array(file, allow_pickle=False)
        return array


@contextmanager
def opened(path: Path) -> Iterator[Archive]:
    """The arrays of a .npz; inside, whatever is wrong with it is an UnnoiseError."""
    with _all_wrong_is_told(path), zipfile.ZipFile(path) as archive:
        yield Archive(archive)


def mapped(path: Path) -> NDArray[Any]:
    """The array of a .npy file, mapped into memory; raises UnnoiseError for anything else."""
    with _all_wrong_is_told(path):
        pickled = pickle_in(path)
        if pickled is not None:
            raise ValueError(f"it is {pickled}, and {NEVER}")
        with path.open("rb") as file:
            shape, kind = _header(file)
            there = path.stat().st_size - file.tell()
        if math.prod(shape) * kind.itemsize > there:
            raise ValueError(f"its shape {shape} promises more than the {there:,} bytes that it holds")
        array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    return array


def _header(file: Readable) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """(shape, kind) of the array that follows; raises ValueError for Python objects and bad headers."""
    form = np.lib.format
    width = 2 if form.read_magic(file) == (1, 0) else 4
    length = file.read(width)
    announced = int.from_bytes(length, "little")
    if len(length) < width or announced > LONGEST_HEADER:
        raise ValueError(f"its header is of {announced:,} bytes, and at most {LONGEST_HEADER:,} are read")
    text = BytesIO(length + file.read(announced))
    try:
        shape, _, kind = form.read_array_header_1_0(text) if width == 2 else form.read_array_header_2_0(text)
    except Exception as error:
        # It is an expression of Python, and what is no expression makes its parser raise almost anything.
        raise ValueError("its header describes no array") from error
    if kind.hasobject:
        raise ValueError(f"it holds Python objects, pickled, and {NEVER}")
    return shape, kind


@contextmanager
def _all_wrong_is_told(path: Path) -> Iterator[None]:
    try:
        yield
    except UnnoiseError:
        raise
    except Exception as error:
        # Damaged or hostile bytes make numpy and zipfile raise almost anything.
        reason = str(error).split("\n")[0].strip().rstrip(".") or type(error).__name__
        raise UnnoiseError(
            f"A {path.suffix.lower()} file must be whole and hold plain numbers, but {str(path)!r} cannot "
            f"be read ({reason}): save it again with numpy, without object arrays."
        ) from error
