"""Cache of decoded pictures on disk, mapped into memory."""

import json
import os
import re
import secrets
import shutil
import time
import warnings
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from unnoise.data.cache_building import (
    decode_all,
    decode_into_memory,
    fingerprint_of,
    require_fits_in_memory,
    settle,
    summarized,
    with_ranges,
)
from unnoise.data.decoding.conversion import DecodeSettings
from unnoise.data.decoding.value_range import Ranges, UnknownRangeError, ValueRange
from unnoise.data.image_set import ImageSet, Moments, Skipped
from unnoise.data.pieces import claimed, decode_into_pieces
from unnoise.data.progress import Progress
from unnoise.data.sources import Source
from unnoise.utils.files import atomic_write

_VERSION = 1
_READER = 2
"""Version of the decoder, increased when it reads some pictures differently. Older records are checked once."""
_DAY_SECONDS = 24 * 60 * 60
_DAMAGED = (OSError, ValueError, KeyError, TypeError, EOFError, RecursionError)


def default_cache() -> Path:
    """The cache folder: $UNNOISE_CACHE, else $XDG_CACHE_HOME/unnoise, else ~/.cache/unnoise."""
    if own := os.environ.get("UNNOISE_CACHE"):
        return Path(own).expanduser()
    common = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(common).expanduser() / "unnoise"


def open_cached(source: Source, settings: DecodeSettings, root: Path, *, progress: Progress) -> ImageSet:
    """Opens the pictures of `source` from the cache; decodes them into it, or else into memory, if need be.

        <root>/lists/<hash of names, sizes, times and settings>.json   leads to
        <root>/images/<fingerprint>/pixels.npy, moments.npy and about.json
        <root>/pieces/   what was decoded before an interruption, see `pieces`

    Everything is written under a temporary name first, so a half-written or damaged entry is never used.
    """
    cache = Cache(root)
    ready = source.unconverted(settings)
    if ready is not None:
        fingerprint = cache.fingerprint(source, settings, ready)
        return _with_sentences(ImageSet(ready, source.name, fingerprint), source)
    found = cache.find(source, settings, progress=progress)
    if found is not None:
        return _with_sentences(found, source)
    settled = settle(source, settings, progress=progress)
    try:
        images = _decoded(cache, source, settings, settled, progress=progress)
    except UnknownRangeError:
        settled = with_ranges(source, settled, progress=progress)
        images = _decoded(cache, source, settings, settled, progress=progress)
    return _with_sentences(images, source)


def _decoded(
    cache: "Cache", source: Source, asked: DecodeSettings, settled: DecodeSettings, *, progress: Progress
) -> ImageSet:
    """The pictures in a new entry of the cache, or in memory if it cannot be written."""
    try:
        return cache.build(source, asked, settled, progress=progress)
    except OSError as error:
        reason = error.strerror or str(error)
        require_fits_in_memory(source, settled, cache.root, reason)
        warnings.warn(
            f"Cannot write the cache {str(cache.root)!r}: {reason}. The pictures stay in "
            f"memory and are decoded again next time. Free some space, or set UNNOISE_CACHE to another folder.",
            UserWarning,
            stacklevel=4,
        )
    return decode_into_memory(source, settled, progress=progress)


def _with_sentences(images: ImageSet, source: Source) -> ImageSet:
    """The same pictures, with what is to be told of their source: how it is read, and what was left out."""
    reading = source.reading()
    notes = (reading, *images.notes) if reading else images.notes
    return replace(images, notes=notes, left_out=source.left_out(len(images), images.skipped))


@dataclass(frozen=True)
class _Record:
    """An entry of `lists`: the content that a source had, its skipped files, and how its values were read."""

    files: str
    content: str
    skipped: tuple[Skipped, ...]
    ranges: Ranges = ()
    notes: tuple[str, ...] = ()
    reader: int = _READER


class Cache:
    """The cache folder. Many processes may use it at once: files appear complete, under their final names."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._lists = root / "lists"
        self._images = root / "images"

    def find(self, source: Source, settings: DecodeSettings, *, progress: Progress) -> ImageSet | None:
        """Looks `source` up by names and times, else by names and the bytes of every file; None if unknown."""
        record = self._recall(_key(source, settings, dated=True))
        found = self._open(source, record)
        if found is not None and record is not None:
            if record.reader == _READER:
                return found
            if not source.is_plain():
                return None
            self._try_remember(_key(source, settings, dated=True), replace(record, reader=_READER))
            return found
        record = self._recall(_key(source, settings, dated=False))
        found = self._open(source, record)
        if found is None or record is None or (record.reader != _READER and not source.is_plain()):
            return None
        tally = decode_all(source, None, lambda _: None, progress=progress)
        if tally.files != record.files:
            return None
        self._try_remember(_key(source, settings, dated=True), replace(record, reader=_READER))
        return found

    def build(
        self, source: Source, asked: DecodeSettings, settled: DecodeSettings, *, progress: Progress
    ) -> ImageSet:
        """Decodes `source` into a new entry; raises OSError if the folder cannot be written."""
        self._images.mkdir(parents=True, exist_ok=True)
        _sweep(self._images)
        key = _key(source, settled, dated=True)
        with claimed(self.root / "pieces" / key) as folder:
            known = self._recall(key)
            found = self._open(source, known)
            if (
                found is not None and known is not None and known.reader == _READER
            ):  # another process was faster
                return found
            tally, pixels = decode_into_pieces(folder, source, settled, progress=progress)
            record = _Record(
                tally.files,
                tally.fingerprint.text(),
                tuple(tally.skipped),
                settled.known_ranges(),
                summarized(tally.notes),
            )
            try:
                if self._open(source, record) is None:
                    self._publish(pixels, record.content, tally.moments)
            finally:
                shutil.rmtree(folder, ignore_errors=True)
            if tally.every_file_read:
                # Given or left to the pictures, the same settings find the same entry.
                for one in {asked, settled}:
                    for dated in (True, False):
                        self._try_remember(_key(source, one, dated=dated), record)
        found = self._open(source, record)
        if found is None:
            raise OSError("what was written cannot be read back")
        return found

    def fingerprint(self, source: Source, settings: DecodeSettings, ready: NDArray[np.uint8]) -> str:
        """The fingerprint of an array that is used as it is; computed once for each file."""
        key = _key(source, settings, dated=True)
        record = self._recall(key)
        if record is None:
            record = _Record("", fingerprint_of(ready), ())
            self._try_remember(key, record)
        return record.content

    def _open(self, source: Source, record: _Record | None) -> ImageSet | None:
        """Maps the entry of a record; None if it is missing or damaged."""
        if record is None:
            return None
        entry = self._images / record.content
        try:
            about = json.loads((entry / "about.json").read_text("utf-8"))
            pixels = np.load(entry / "pixels.npy", mmap_mode="r", allow_pickle=False)
            sums = np.load(entry / "moments.npy", allow_pickle=False)
            complete = pixels.dtype == np.uint8 and list(pixels.shape) == about["shape"] and len(pixels) > 0
            complete &= sums.dtype == np.int64 and sums.shape == (len(pixels), 2, pixels.shape[-1])
        except _DAMAGED:
            return None
        if not complete:
            return None
        return ImageSet(
            pixels,
            source.name,
            record.content,
            record.skipped,
            sums,
            ranges=record.ranges,
            notes=record.notes,
        )

    def _publish(self, temporary: Path, content: str, sums: Moments) -> None:
        entry = self._images / content
        entry.mkdir(exist_ok=True)
        shape = np.load(temporary, mmap_mode="r", allow_pickle=False).shape
        temporary.replace(entry / "pixels.npy")
        with atomic_write(entry / "moments.npy") as file:
            np.save(file, sums)
        _write_json(entry / "about.json", {"version": _VERSION, "shape": list(shape)})

    def _try_remember(self, key: str, record: _Record) -> None:
        """Writes a record if possible; without it there is only more work next time."""
        try:
            self._lists.mkdir(parents=True, exist_ok=True)
            _write_record(self._path(key), record)
        except OSError:
            return

    def _recall(self, key: str) -> _Record | None:
        try:
            known = json.loads(self._path(key).read_text("utf-8"))
            skipped = tuple(Skipped(str(name), str(reason)) for name, reason in known["skipped"])
            record = _Record(
                str(known["files"]),
                str(known["content"]),
                skipped,
                tuple(
                    ValueRange(str(kind), float(low), float(high))
                    for kind, low, high in known.get("ranges", ())
                ),
                tuple(map(str, known.get("notes", ()))),
                int(known.get("reader", 1)),
            )
        except _DAMAGED:
            return None
        # It becomes part of a path, so it must be a hash.
        return record if re.fullmatch(r"[0-9a-f]{32}", record.content) else None

    def _path(self, key: str) -> Path:
        return self._lists / f"{key}.json"


def _key(source: Source, settings: DecodeSettings, *, dated: bool) -> str:
    # The text is part of every key, so it must not change with the name of a class.
    wanted = (
        f"Settings(size={settings.size!r}, channels={settings.channels!r}, fit={settings.fit!r}, "
        f"background={settings.background!r})"
    )
    if settings.ranges:  # left out of the key otherwise, as it was before there were ranges
        given = settings.ranges if isinstance(settings.ranges, tuple) else ()
        listed = ", ".join(f"{one.kind} {one.low!r} {one.high!r}" for one in given)
        wanted += f" ranges={listed or settings.ranges}"
    choices = f"{_VERSION} {dated} {wanted}".encode()
    return blake2b(source.identity(dated=dated) + choices, digest_size=16).hexdigest()


def _write_record(path: Path, record: _Record) -> None:
    skipped = [[one.name, one.reason] for one in record.skipped]
    ranges = [[one.kind, one.low, one.high] for one in record.ranges]
    fields = {"reader": record.reader, "ranges": ranges, "notes": list(record.notes)}
    _write_json(path, {"files": record.files, "content": record.content, "skipped": skipped, **fields})


def _write_json(path: Path, value: dict[str, object]) -> None:
    temporary = path.with_name(_temporary_name())
    try:
        with temporary.open("w", encoding="utf-8") as file:
            json.dump(value, file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _temporary_name() -> str:
    return f"tmp-{os.getpid()}-{secrets.token_hex(4)}"


def _sweep(folder: Path) -> None:
    """Removes the temporary files of killed processes: those that nobody has written to for a day."""
    for left in folder.glob("tmp-*"):
        try:
            if time.time() - left.stat().st_mtime > _DAY_SECONDS:
                left.unlink()
        except FileNotFoundError:
            continue  # another process was faster
