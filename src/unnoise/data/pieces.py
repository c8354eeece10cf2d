"""Decoded pieces on disk: an interrupted decoding of a source goes on where it was.

    <folder>/pixels.npy      the pictures decoded so far, behind a header for all of them
    <folder>/journal.jsonl   a line for each piece: its batches, and a checksum of its pixels
    <folder>.lock            held by the process that decodes; others wait until it is done

The folder is named after the source and the settings: names, sizes and times of all files, as for the cache
itself. A piece counts only where its pixels match their checksum, so a power cut costs pieces, never pictures.
"""

import errno
import json
import math
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import blake2b
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from filelock import FileLock

from unnoise.data.cache_building import Tally, decode_all, npy_header
from unnoise.data.decoding.conversion import DecodeSettings
from unnoise.data.image_set import Skipped
from unnoise.data.progress import Progress
from unnoise.data.sources import Source
from unnoise.data.sources.source import DecodedBatch

_PIXELS, _JOURNAL = "pixels.npy", "journal.jsonl"
_PICTURES = 64
"""Pictures of a piece, at least; those of a large batch stay together."""
_KEPT_SECONDS = 7 * 24 * 60 * 60
_POLL_SECONDS = 0.2
_UNSUPPORTED = {errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP}
"""What file systems without locks answer."""
_BROKEN = (OSError, ValueError, KeyError, TypeError, IndexError)


@contextmanager
def claimed(folder: Path) -> Iterator[Path]:
    """Context with this folder of pieces for one process alone; others wait, and answer signals meanwhile.

    On a file system without locks, with a folder of its own, whose pieces nobody goes on with.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    _sweep(folder.parent)
    lock = FileLock(f"{folder}.lock", thread_local=False)
    try:
        lock.acquire(poll_interval=_POLL_SECONDS)
    except (NotImplementedError, OSError) as error:
        if isinstance(error, OSError) and error.errno not in _UNSUPPORTED:
            raise
        yield folder.with_name(f"{folder.name}-{os.getpid()}-{time.time_ns()}")
        return
    try:
        yield folder
    finally:
        with suppress(OSError):  # while it is still held: whoever waits for it takes a new one
            Path(lock.lock_file).unlink(missing_ok=True)
        lock.release()


def decode_into_pieces(
    folder: Path, source: Source, settings: DecodeSettings, *, progress: Progress
) -> tuple[Tally, Path]:
    """Decodes all pictures into a .npy file, a batch at a time, and flushes it to the disk.

    Goes on with the pieces that are in the folder. An interruption keeps them; an error removes them.

    Returns:
        what was decoded, and the file, which the caller takes away, with `shutil.rmtree` of the folder after.

    Raises:
        OSError: where the folder cannot be written, or has too little room.
    """
    folder.mkdir(parents=True, exist_ok=True)
    shape = (*settings.known_size(), settings.known_channels())
    try:
        with (folder / _PIXELS).open("ab") as made, (folder / _JOURNAL).open("ab"):
            _require_room(folder, source.total() * math.prod(shape) - made.tell())
        with (folder / _PIXELS).open("rb+") as pixels, (folder / _JOURNAL).open("rb+") as journal:
            pieces = _Pieces(pixels, journal, npy_header(source.total(), settings), shape)
            try:
                tally = decode_all(source, settings, pieces.add, progress=progress, tally=pieces.recovered())
            finally:
                pieces.commit()
            pixels.seek(0)
            pixels.write(npy_header(tally.count, settings))
            pixels.flush()
            os.fsync(pixels.fileno())
    except BaseException as error:
        if isinstance(error, Exception) or not _has_pieces(folder):
            shutil.rmtree(folder, ignore_errors=True)
        raise
    return tally, folder / _PIXELS


def _has_pieces(folder: Path) -> bool:
    try:
        return (folder / _JOURNAL).stat().st_size > 0
    except OSError:
        return False


def _require_room(folder: Path, needed: int) -> None:
    if shutil.disk_usage(folder).free < needed:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class _Line(NamedTuple):
    """A piece in the journal."""

    batches: list[tuple[str, int, int, list[str] | None, list[str]]]
    """Of each: the digest of its bytes, pictures looked at and decoded, what was skipped, and notes."""
    checksum: str


class _Pieces:
    """The two files of a folder while it is decoded into."""

    def __init__(self, pixels: BinaryIO, journal: BinaryIO, header: bytes, shape: tuple[int, ...]) -> None:
        self._pixels, self._journal, self._header, self._shape = pixels, journal, header, shape
        self._batches: list[Any] = []
        self._hash = blake2b(digest_size=16)

    def recovered(self) -> Tally:
        """The tally of the whole pieces; cuts off what is behind them."""
        tally, end = Tally(), 0
        whole = self._pixels.read(len(self._header)) == self._header
        for line in self._journal.readlines() if whole else ():
            try:
                found = self._read(_Line(**json.loads(line)))
            except _BROKEN:
                break
            for batch in found:
                tally.add(batch)
            end += len(line)
        self._journal.seek(end)
        self._journal.truncate()
        self._pixels.seek(0)
        self._pixels.write(self._header)
        self._pixels.seek(len(self._header) + tally.count * math.prod(self._shape))
        self._pixels.truncate()
        return tally

    def _read(self, line: _Line) -> list[DecodedBatch]:
        """The batches of a piece; ValueError if it is damaged, or a file could not be read then."""
        count = sum(decoded for _, _, decoded, *_ in line.batches)
        data = self._pixels.read(count * math.prod(self._shape))
        pixels = np.frombuffer(data, np.uint8).reshape(count, *self._shape)
        if blake2b(data, digest_size=16).hexdigest() != line.checksum:
            raise ValueError("the pixels are not those of the journal")
        batches, first = [], 0
        for digest, seen, decoded, skipped, notes in line.batches:
            if not digest:
                raise ValueError("a file could not be read")
            own = pixels[first : first + decoded] if decoded else None
            why = None if skipped is None else Skipped(*skipped)
            batches.append(DecodedBatch(own, bytes.fromhex(digest), seen, why, tuple(notes)))
            first += decoded
        return batches

    def add(self, batch: DecodedBatch) -> None:
        """Writes the pictures of a batch, and a line for each whole piece."""
        decoded = 0
        if batch.pixels is not None:
            data = np.ascontiguousarray(batch.pixels).data
            self._pixels.write(data)
            self._hash.update(data)
            decoded = len(batch.pixels)
        skipped = None if batch.skipped is None else [batch.skipped.name, batch.skipped.reason]
        self._batches.append((batch.digest.hex(), batch.seen, decoded, skipped, batch.notes))
        if sum(seen for _, seen, *_ in self._batches) >= _PICTURES:
            self.commit()

    def commit(self) -> None:
        """Ends a piece here."""
        if not self._batches:
            return
        line = _Line(self._batches, self._hash.hexdigest())
        self._batches, self._hash = [], blake2b(digest_size=16)
        self._pixels.flush()  # first: a line without its pixels is of no use
        self._journal.write(json.dumps(line._asdict()).encode() + b"\n")
        self._journal.flush()


def _sweep(parent: Path) -> None:
    """Removes pieces that nobody went on with for a week."""
    for journal in parent.glob(f"*/{_JOURNAL}"):
        with suppress(OSError):
            if time.time() - journal.stat().st_mtime > _KEPT_SECONDS:
                shutil.rmtree(journal.parent, ignore_errors=True)
