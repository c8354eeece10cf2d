"""Decoding of a whole source, with its fingerprint and moments; into memory, where no file can be written."""

import math
import os
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from hashlib import blake2b
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from unnoise.data.decoding.conversion import DecodeSettings
from unnoise.data.decoding.value_range import with_found
from unnoise.data.image_set import ImageSet, Moments, Skipped, chunks, moments
from unnoise.data.progress import Progress, progress_bar
from unnoise.data.sources import Source
from unnoise.data.sources.source import DecodedBatch, nothing_readable
from unnoise.networks import limits
from unnoise.utils.errors import require

_HASH_BYTES = 16
_HASHED_AT_ONCE = 1024
_NOTES_SHOWN = 3

MEMORY_SHARE = 0.25
"""Share of the machine's memory for pictures where no cache can be written, of all processes together."""


class Fingerprint:
    """A hash of pictures, (n, H, W, C) at a time: their size, their order and every byte."""

    def __init__(self) -> None:
        self._hash = blake2b(digest_size=_HASH_BYTES)
        self._begun = False

    def add(self, pixels: NDArray[np.uint8]) -> None:
        """Adds the next pictures."""
        if not self._begun:
            self._hash.update(str(tuple(pixels.shape[1:])).encode())
            self._begun = True
        self._hash.update(np.ascontiguousarray(pixels).data)

    def text(self) -> str:
        """The hash of all pictures so far, in hexadecimal."""
        return self._hash.hexdigest()


class Tally:
    """Running totals over decoded batches: pictures, skipped files, hashes of files and pixels, moments."""

    def __init__(self) -> None:
        self.seen = 0
        self.count = 0
        self.skipped: list[Skipped] = []
        self.every_file_read = True
        self.fingerprint = Fingerprint()
        self.notes: list[str] = []
        self._moments: list[Moments] = []
        self._files = blake2b(digest_size=_HASH_BYTES)

    @property
    def files(self) -> str:
        """A hash of the bytes of all files in order."""
        return self._files.hexdigest()

    def add(self, batch: DecodedBatch) -> None:
        """Adds one batch."""
        self.seen += batch.seen
        self._files.update(batch.digest)
        # A file that could not be read now, for lack of permission say, may be readable next time.
        self.every_file_read &= batch.digest != b""
        if batch.skipped is not None:
            self.skipped.append(batch.skipped)
        self.notes.extend(batch.notes)
        if batch.pixels is not None:
            self.count += len(batch.pixels)
            self.fingerprint.add(batch.pixels)
            self._moments.append(moments(batch.pixels))

    @property
    def moments(self) -> Moments:
        """The moments of all pictures in order."""
        return np.concatenate(self._moments)


def settle(source: Source, settings: DecodeSettings, *, progress: Progress) -> DecodeSettings:
    """The settings with the size and channels filled in that were left to the pictures."""
    if settings.size is not None and settings.channels is not None:
        return settings
    summary = source.summarize(progress=progress)
    return replace(
        settings,
        size=settings.size or summary.proposed_size,
        channels=settings.channels or summary.proposed_channels,
    )


def with_ranges(source: Source, settings: DecodeSettings, *, progress: Progress) -> DecodeSettings:
    """The settings with a range for every kind of number in the source, found from all of its pictures."""
    return replace(settings, ranges=with_found(settings.ranges, source.statistics(progress=progress)))


def decode_all(
    source: Source,
    settings: DecodeSettings | None,
    write: Callable[[DecodedBatch], object] = lambda _: None,
    *,
    progress: Progress,
    tally: Tally | None = None,
) -> Tally:
    """Decodes all pictures and passes them to `write` in order; without settings the files are only hashed.

    Goes on behind what is in `tally` already.
    """
    tally = tally or Tally()
    bar = progress_bar("Reading pictures" if settings else "Checking pictures", source.total(), progress)
    with bar, closing(source.batches(settings, tally.seen)) as batches:
        bar.advance(tally.seen)
        for batch in batches:
            tally.add(batch)
            write(batch)
            bar.advance(batch.seen)
    if settings is not None and tally.count == 0:
        raise nothing_readable(source.name, tally.seen, tally.skipped)
    return tally


def decode_into_memory(source: Source, settings: DecodeSettings, *, progress: Progress) -> ImageSet:
    """Decodes all pictures into memory, where no file can be written."""
    pixels = np.empty((source.total(), *settings.known_size(), settings.known_channels()), np.uint8)
    count = 0

    def keep(batch: DecodedBatch) -> None:
        nonlocal count
        if batch.pixels is not None:
            pixels[count : count + len(batch.pixels)] = batch.pixels
            count += len(batch.pixels)

    tally = decode_all(source, settings, keep, progress=progress)
    return ImageSet(
        pixels[:count],
        source.name,
        tally.fingerprint.text(),
        tuple(tally.skipped),
        ranges=settings.known_ranges(),
        notes=summarized(tally.notes),
    )


def require_fits_in_memory(source: Source, settings: DecodeSettings, root: Path, reason: str) -> None:
    """Checks that the decoded pictures may stay in memory: all processes here take at most a quarter of it.

    Args:
        root, reason: the cache folder, and why it cannot be written.

    Raises:
        UnnoiseError: where they are too large.
    """
    memory, processes = limits.total_memory(), int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    count = source.total()
    needed = count * math.prod(settings.known_size()) * settings.known_channels()
    each = f" for each of {processes} processes" if processes > 1 else ""
    require(
        memory is None or needed * processes <= MEMORY_SHARE * memory,
        f"Cannot write the cache {str(root)!r}: {reason}. In memory {count:,} decoded pictures would take "
        f"{needed / 1e9:,.3g} GB{each}, more than {MEMORY_SHARE:.0%} of this machine's "
        f"{(memory or 0) / 1e9:,.3g} GB. Set UNNOISE_CACHE to a folder with so much free space.",
    )


def summarized(notes: Sequence[str]) -> tuple[str, ...]:
    """The first few notes, and how many more there are."""
    more = len(notes) - _NOTES_SHOWN
    return (*notes[:_NOTES_SHOWN], *((f"... and {more:,} more pictures alike",) if more > 0 else ()))


def fingerprint_of(pixels: NDArray[np.uint8]) -> str:
    """The fingerprint of an array of pictures, (N, H, W, C)."""
    fingerprint = Fingerprint()
    for some in chunks(pixels, _HASHED_AT_ONCE):
        fingerprint.add(some)
    return fingerprint.text()


def npy_header(count: int, settings: DecodeSettings) -> bytes:
    """The header of a .npy file of so many pictures; numpy keeps its length the same for any number."""
    shape = (count, *settings.known_size(), settings.known_channels())
    header = BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": shape})
    return header.getvalue()
