"""A file that is mapped into memory takes no more of it than what is looked at just now.

Every page that was read counts as the process's own until the system needs the room, so after an epoch the
whole data set would seem to be in memory, and on a machine with a limit for each process it would be. And where
pictures lie apart, the system fetches a megabyte around each, one by one, unless it is told which it will need.
"""

import mmap
from collections.abc import Iterator
from contextlib import suppress
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

_KEPT_BYTES = 16 * 2**20
_AROUND = 64 * 2**10
"""With a page the system maps its neighbours, up to so many bytes."""


class Pages:
    """The pages of an array that lies in a mapped file; of any other array there are none to let go.

    Args:
        pixels: whose pages.
    """

    def __init__(self, pixels: NDArray[np.uint8]) -> None:
        base: object = pixels
        while isinstance(base, np.ndarray):
            base = base.base
        self._mapped = base if isinstance(base, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED") else None
        self._length = len(pixels)
        self._stride = pixels.strides[0] if len(pixels) else 0
        self._first = 0
        if self._mapped is not None:
            self._first = _address(pixels) - _address(np.frombuffer(self._mapped, np.uint8))
        self._each = _AROUND + (pixels[0].nbytes if len(pixels) else 0)
        self._touched = 0
        self._lock = Lock()

    def wanted(self, indices: NDArray[Any]) -> None:
        """The pictures at these places will be read now: the disk is asked for all of them at once."""
        if self._mapped is None or self._stride <= 0 or indices.dtype.kind not in "iu":
            return
        inside = indices[(indices >= 0) & (indices < self._length)]
        with suppress(OSError):  # it is a hint
            for start in (self._first + self._stride * inside.astype(np.int64)).ravel().tolist():
                page = start - start % mmap.PAGESIZE
                self._mapped.madvise(mmap.MADV_WILLNEED, page, start + self._stride - page)

    def touched(self, count: int) -> None:
        """So many pictures were read; now and then all pages are let go, and come again when they are read."""
        if self._mapped is None:
            return
        with self._lock:
            self._touched += count * self._each
            if self._touched > _KEPT_BYTES:
                self._mapped.madvise(mmap.MADV_DONTNEED)
                self._touched = 0


def _address(array: NDArray[np.uint8]) -> int:
    return int(array.__array_interface__["data"][0])


def chunks(pixels: NDArray[np.uint8], count: int) -> Iterator[NDArray[np.uint8]]:
    """All pictures, so many at a time."""
    pages = Pages(pixels)
    for first in range(0, len(pixels), count):
        yield pixels[first : first + count]
        pages.touched(count)
