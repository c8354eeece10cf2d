"""Image set: all pictures of a source as one memory-mapped uint8 array, with their labels."""

import json
import mmap
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from threading import Lock
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from unnoise.data.decoding.value_range import Ranges
from unnoise.diffusion.tensors import Pixels

Moments = NDArray[np.int64]
"""(N, 2, C): for each picture and channel the sum of its bytes, and the sum of their squares.

The mean and variance of any subset of pictures follow exactly from these integers."""

_MOMENTS_AT_ONCE = 256
_KEPT_BYTES = 16 * 2**20
_AROUND = 64 * 2**10
"""With a page the system maps its neighbours, up to so many bytes."""


@dataclass(frozen=True)
class Skipped:
    """A picture file that could not be read, and why."""

    name: str
    reason: str


@dataclass(frozen=True, eq=False)
class ImageSet:
    """The pictures of one source, all of one size.

    `pixels` is uint8 of shape (N, H, W, C), from 0 to 255. It is mapped read-only from the cache as a rule, so
    a data set may be larger than the memory. `source` is what the caller named. `fingerprint` is a hash of the
    pixels, by which a resumed run recognises its data.

    `ranges` are the values that were read as black and white, for pictures of more than 8 bits; `notes` are
    sentences on how pictures were read that nobody would guess. `left_out` is a sentence on the files that were
    not taken, counted by suffix; empty if all were.

    `labels`, (N,), are indices into `class_names`, and their number for a picture without a class; None unless
    labels were asked for. `held_out_ranges` are the indices of the pictures that folders such as test hold out,
    each range from its first to before its end; empty unless such folders were asked for.
    """

    pixels: NDArray[np.uint8]
    source: str
    fingerprint: str
    skipped: tuple[Skipped, ...] = ()
    kept_moments: Moments | None = None
    labels: NDArray[np.int64] | None = None
    class_names: tuple[str, ...] = ()
    ranges: Ranges = ()
    notes: tuple[str, ...] = ()
    left_out: str = ""
    held_out_ranges: tuple[tuple[int, int], ...] = ()

    @cached_property
    def _pages(self) -> "MappedPages":
        return MappedPages(self.pixels)

    @cached_property
    def moments(self) -> Moments:
        """Sums and sums of squares of each picture: from the cache, or computed now."""
        return moments(self.pixels) if self.kept_moments is None else self.kept_moments

    @cached_property
    def label_fingerprint(self) -> str:
        """A hash of the labels and the names of the classes; empty without labels."""
        if self.labels is None:
            return ""
        names = json.dumps(self.class_names).encode()
        return blake2b(self.labels.astype("<i8").tobytes() + names, digest_size=16).hexdigest()

    def class_counts(self) -> dict[str, int]:
        """The number of pictures of each class, in order; empty without labels."""
        if self.labels is None:
            return {}
        numbers = np.bincount(self.labels, minlength=len(self.class_names)).tolist()
        return dict(zip(self.class_names, numbers, strict=False))  # the last may count those without a class

    @property
    def without_class(self) -> int:
        """The number of pictures without a class; 0 without labels."""
        return 0 if self.labels is None else int((self.labels == len(self.class_names)).sum())

    def __len__(self) -> int:
        return len(self.pixels)

    @property
    def height(self) -> int:
        """Height of every picture in pixels."""
        return int(self.pixels.shape[1])

    @property
    def width(self) -> int:
        """Width of every picture in pixels."""
        return int(self.pixels.shape[2])

    @property
    def channels(self) -> int:
        """1 grey, 2 grey and alpha, 3 colour, 4 colour and alpha; arrays may have more."""
        return int(self.pixels.shape[3])

    def take(self, indices: "NDArray[np.integer] | Sequence[int]") -> Pixels:
        """Copies the pictures at `indices`, (B,), into a contiguous uint8 tensor (B, C, H, W).

        Raises IndexError for an index outside the set.
        """
        places = np.asarray(indices)
        self._pages.prefetch(places)
        copied = np.asarray(self.pixels[places])
        self._pages.count_read(len(copied))
        return torch.from_numpy(copied).permute(0, 3, 1, 2).contiguous()


class MappedPages:
    """Memory pages of an array in a mapped file: read ahead, and released after use.

    Every page that was read counts as the process's own memory until the system needs the room, so after an
    epoch the whole data set would seem to be in memory; under a limit for each process it would be. And where
    pictures lie apart, the system fetches a megabyte around each, one by one, unless it is told which come.

    An array that is in no mapped file has no such pages: nothing happens then.
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
        self._bytes_each = _AROUND + (pixels[0].nbytes if len(pixels) else 0)
        self._bytes_read = 0
        self._lock = Lock()

    def prefetch(self, indices: NDArray[Any]) -> None:
        """Asks the system to fetch the pictures at `indices`, all at once (MADV_WILLNEED)."""
        if self._mapped is None or self._stride <= 0 or indices.dtype.kind not in "iu":
            return
        inside = indices[(indices >= 0) & (indices < self._length)]
        with suppress(OSError):  # it is only a hint
            for start in (self._first + self._stride * inside.astype(np.int64)).ravel().tolist():
                page = start - start % mmap.PAGESIZE
                self._mapped.madvise(mmap.MADV_WILLNEED, page, start + self._stride - page)

    def count_read(self, count: int) -> None:
        """Notes that so many pictures were read, and releases all pages after every 16 MB (MADV_DONTNEED)."""
        if self._mapped is None:
            return
        with self._lock:
            self._bytes_read += count * self._bytes_each
            if self._bytes_read > _KEPT_BYTES:
                self._mapped.madvise(mmap.MADV_DONTNEED)
                self._bytes_read = 0


def _address(array: NDArray[np.uint8]) -> int:
    return int(array.__array_interface__["data"][0])


def chunks(pixels: NDArray[np.uint8], count: int) -> Iterator[NDArray[np.uint8]]:
    """All pictures, `count` at a time, without keeping a mapped file in memory."""
    pages = MappedPages(pixels)
    for first in range(0, len(pixels), count):
        yield pixels[first : first + count]
        pages.count_read(count)


def moments(pixels: NDArray[np.uint8]) -> Moments:
    """Sums and sums of squares of each channel of pictures (N, H, W, C), as (N, 2, C)."""
    return np.concatenate([_moments(some) for some in chunks(pixels, _MOMENTS_AT_ONCE)])


def _moments(pixels: NDArray[np.uint8]) -> Moments:
    flat = pixels.reshape(len(pixels), -1, pixels.shape[-1])
    values = np.moveaxis(flat, -1, 1).astype(np.int64, order="C")  # a channel in one piece is added up fast
    return np.stack([values.sum(2), np.einsum("ncp,ncp->nc", values, values)], axis=1)
