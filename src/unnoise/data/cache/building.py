"""Batches are gathered once, into a file or into memory, and hashed on the way."""

import os
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from hashlib import blake2b
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from unnoise.data.cache.mapping import chunks
from unnoise.data.cache.moments import Moments, moments
from unnoise.data.cache.parallel import bar
from unnoise.data.image_set import ImageSet, Skipped
from unnoise.data.settings import Settings
from unnoise.data.sources.origin import Batch, Origin
from unnoise.data.summary import nothing_readable

_HASH_BYTES = 16
_AT_ONCE = 1024


class Fingerprint:
    """A hash of pictures, (n, H, W, C) at a time: their size, their order and every byte."""

    def __init__(self) -> None:
        self._hash = blake2b(digest_size=_HASH_BYTES)
        self._begun = False

    def add(self, pixels: NDArray[np.uint8]) -> None:
        """Takes in the next pictures."""
        if not self._begun:
            self._hash.update(str(tuple(pixels.shape[1:])).encode())
            self._begun = True
        self._hash.update(np.ascontiguousarray(pixels).data)

    def text(self) -> str:
        """The hash of all pictures so far, in hexadecimal."""
        return self._hash.hexdigest()


class Tally:
    """What has gone by: how many pictures, which were skipped, and the hashes of files and pixels."""

    def __init__(self) -> None:
        self.seen = 0
        self.count = 0
        self.skipped: list[Skipped] = []
        self.every_file_read = True
        self.fingerprint = Fingerprint()
        self._moments: list[Moments] = []
        self._files = blake2b(digest_size=_HASH_BYTES)

    @property
    def files(self) -> str:
        """A hash of the bytes of all files in order."""
        return self._files.hexdigest()

    def add(self, batch: Batch) -> None:
        """Counts one batch."""
        self.seen += batch.seen
        self._files.update(batch.digest)
        # A file that could not be read now, for want of permission say, may be readable next time.
        self.every_file_read &= batch.digest != b""
        if batch.skipped is not None:
            self.skipped.append(batch.skipped)
        if batch.pixels is not None:
            self.count += len(batch.pixels)
            self.fingerprint.add(batch.pixels)
            self._moments.append(moments(batch.pixels))

    @property
    def moments(self) -> Moments:
        """The sums of all pictures in order."""
        return np.concatenate(self._moments)


def settle(origin: Origin, settings: Settings, *, progress: bool) -> Settings:
    """Fills in the size and the channels that were left to the pictures."""
    if settings.size is not None and settings.channels is not None:
        return settings
    summary = origin.summarize(progress=progress)
    return replace(
        settings,
        size=settings.size or summary.proposed_size,
        channels=settings.channels or summary.proposed_channels,
    )


def gather(
    origin: Origin, settings: Settings | None, write: Callable[[NDArray[np.uint8]], object], *, progress: bool
) -> Tally:
    """Hands all pictures to `write` in order; with no settings the files are only hashed."""
    tally = Tally()
    shown, advance = bar("Reading pictures" if settings else "Checking pictures", origin.total(), show=progress)
    with shown, closing(origin.batches(settings)) as batches:
        for batch in batches:
            tally.add(batch)
            if batch.pixels is not None:
                write(batch.pixels)
            advance(batch.seen)
    if settings is not None and tally.count == 0:
        raise nothing_readable(origin.source, tally.seen, tally.skipped)
    return tally


def gather_in_memory(origin: Origin, settings: Settings, *, progress: bool) -> ImageSet:
    """Decodes everything into memory, for want of a place on disk."""
    kept: list[NDArray[np.uint8]] = []
    tally = gather(origin, settings, kept.append, progress=progress)
    return ImageSet(np.concatenate(kept), origin.source, tally.fingerprint.text(), tuple(tally.skipped))


def gather_in_file(path: Path, origin: Origin, settings: Settings, *, progress: bool) -> Tally:
    """Decodes everything into the .npy file `path`, a picture at a time, and flushes it to the disk."""
    with path.open("wb") as file:
        header = _npy_header(origin.total(), settings)
        file.write(header)

        def write(pixels: NDArray[np.uint8]) -> None:
            file.write(np.ascontiguousarray(pixels).data)

        tally = gather(origin, settings, write, progress=progress)
        final = _npy_header(tally.count, settings)
        # numpy leaves room in the header for the first dimension to grow, so both are of one length.
        assert len(final) == len(header)
        file.seek(0)
        file.write(final)
        file.flush()
        os.fsync(file.fileno())
    return tally


def fingerprint_of(pixels: NDArray[np.uint8]) -> str:
    """The fingerprint of an array that lies ready, (N, H, W, C)."""
    fingerprint = Fingerprint()
    for some in chunks(pixels, _AT_ONCE):
        fingerprint.add(some)
    return fingerprint.text()


def _npy_header(count: int, settings: Settings) -> bytes:
    shape = (count, *settings.known_size(), settings.known_channels())
    header = BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": shape})
    return header.getvalue()
