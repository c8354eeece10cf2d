"""Pictures are decoded once: from then on the same pictures are an array on disk, mapped into memory."""

import json
import os
import re
import secrets
import time
import warnings
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from unnoise.data.cache.building import Tally, fingerprint_of, gather, gather_in_file, gather_in_memory, settle
from unnoise.data.cache.moments import Moments
from unnoise.data.image_set import ImageSet, Skipped
from unnoise.data.settings import Settings
from unnoise.data.sources.origin import Origin
from unnoise.utils.files import writable

_VERSION = 1
_DAY_SECONDS = 24 * 60 * 60
_DAMAGED = (OSError, ValueError, KeyError, TypeError, EOFError, RecursionError)


def default_cache() -> Path:
    """$UNNOISE_CACHE, else $XDG_CACHE_HOME/unnoise, else ~/.cache/unnoise."""
    if own := os.environ.get("UNNOISE_CACHE"):
        return Path(own).expanduser()
    common = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(common).expanduser() / "unnoise"


def open_cached(origin: Origin, settings: Settings, root: Path, *, progress: bool) -> ImageSet:
    """Opens what the cache holds of `origin`, or decodes it into the cache, or else into memory.

        <root>/lists/<hash of names, sizes, times and settings>.json   leads to
        <root>/images/<fingerprint>/pixels.npy and about.json

    Everything is written under another name first, so a half-written or damaged entry is never used.
    """
    cache = _Cache(root)
    ready = origin.ready(settings)
    if ready is not None:
        return ImageSet(ready, origin.source, cache.fingerprint(origin, settings, ready))
    found = cache.find(origin, settings, progress=progress)
    if found is not None:
        return found
    settled = settle(origin, settings, progress=progress)
    try:
        return cache.build(origin, settings, settled, progress=progress)
    except OSError as error:
        warnings.warn(
            f"The cache {str(root)!r} cannot be written ({error.strerror or error}), so the pictures are "
            f"kept in memory and decoded again next time: free some space, or set UNNOISE_CACHE to another "
            f"folder.",
            UserWarning,
            stacklevel=3,
        )
    return gather_in_memory(origin, settled, progress=progress)


@dataclass(frozen=True)
class _Record:
    """What a listing led to, the last time."""

    files: str
    content: str
    skipped: tuple[Skipped, ...]


class _Cache:
    """The cache folder. Many processes may use it at once: files appear whole, under their final names."""

    def __init__(self, root: Path) -> None:
        self._lists = root / "lists"
        self._images = root / "images"

    def find(self, origin: Origin, settings: Settings, *, progress: bool) -> ImageSet | None:
        """What is known of `origin`: by names and times, else by names and the bytes of every file."""
        record = self._recall(_key(origin, settings, dated=True))
        found = self._open(origin, record)
        if found is not None:
            return found
        record = self._recall(_key(origin, settings, dated=False))
        found = self._open(origin, record)
        if found is None or record is None:
            return None
        tally = gather(origin, None, lambda _: None, progress=progress)
        if tally.files != record.files:
            return None
        self._try_remember(_key(origin, settings, dated=True), record)
        return found

    def build(self, origin: Origin, asked: Settings, settled: Settings, *, progress: bool) -> ImageSet:
        """Decodes `origin` into a new entry; raises OSError where the folder cannot be written."""
        self._images.mkdir(parents=True, exist_ok=True)
        _sweep(self._images)
        temporary = self._images / _temporary_name()
        try:
            tally = gather_in_file(temporary, origin, settled, progress=progress)
            record = _Record(tally.files, tally.fingerprint.text(), tuple(tally.skipped))
            if self._open(origin, record) is None:
                self._publish(temporary, record.content, tally.moments)
        finally:
            temporary.unlink(missing_ok=True)
        self._remember_all(origin, {asked, settled}, tally, record)
        found = self._open(origin, record)
        if found is None:
            raise OSError("what was written cannot be read back")
        return found

    def fingerprint(self, origin: Origin, settings: Settings, ready: NDArray[np.uint8]) -> str:
        """The fingerprint of an array that needs no entry of its own; computed once for each file."""
        key = _key(origin, settings, dated=True)
        record = self._recall(key)
        if record is None:
            record = _Record("", fingerprint_of(ready), ())
            self._try_remember(key, record)
        return record.content

    def _open(self, origin: Origin, record: _Record | None) -> ImageSet | None:
        """Maps the entry of a record; None where there is none, or not a whole one."""
        if record is None:
            return None
        entry = self._images / record.content
        try:
            about = json.loads((entry / "about.json").read_text("utf-8"))
            pixels = np.load(entry / "pixels.npy", mmap_mode="r", allow_pickle=False)
            sums = np.load(entry / "moments.npy", allow_pickle=False)
            whole = pixels.dtype == np.uint8 and list(pixels.shape) == about["shape"] and len(pixels) > 0
            whole &= sums.dtype == np.int64 and sums.shape == (len(pixels), 2, pixels.shape[-1])
        except _DAMAGED:
            return None
        return ImageSet(pixels, origin.source, record.content, record.skipped, sums) if whole else None

    def _publish(self, temporary: Path, content: str, sums: Moments) -> None:
        entry = self._images / content
        entry.mkdir(exist_ok=True)
        shape = np.load(temporary, mmap_mode="r", allow_pickle=False).shape
        temporary.replace(entry / "pixels.npy")
        with writable(entry / "moments.npy") as file:
            np.save(file, sums)
        _write_json(entry / "about.json", {"version": _VERSION, "shape": list(shape)})

    def _remember_all(self, origin: Origin, settings: set[Settings], tally: Tally, record: _Record) -> None:
        if not tally.every_file_read:
            return
        self._lists.mkdir(parents=True, exist_ok=True)
        # Asked for by name or by default, the same settings find the same entry.
        for one in settings:
            for dated in (True, False):
                _write_record(self._path(_key(origin, one, dated=dated)), record)

    def _try_remember(self, key: str, record: _Record) -> None:
        """Spares work next time; where it cannot be written, that work is all that is lost."""
        try:
            self._lists.mkdir(parents=True, exist_ok=True)
            _write_record(self._path(key), record)
        except OSError:
            return

    def _recall(self, key: str) -> _Record | None:
        try:
            known = json.loads(self._path(key).read_text("utf-8"))
            skipped = tuple(Skipped(str(name), str(reason)) for name, reason in known["skipped"])
            record = _Record(str(known["files"]), str(known["content"]), skipped)
        except _DAMAGED:
            return None
        # It becomes part of a path, so nothing but a hash will do.
        return record if re.fullmatch(r"[0-9a-f]{32}", record.content) else None

    def _path(self, key: str) -> Path:
        return self._lists / f"{key}.json"


def _key(origin: Origin, settings: Settings, *, dated: bool) -> str:
    choices = f"{_VERSION} {dated} {settings}".encode()
    return blake2b(origin.identity(dated=dated) + choices, digest_size=16).hexdigest()


def _write_record(path: Path, record: _Record) -> None:
    skipped = [[one.name, one.reason] for one in record.skipped]
    _write_json(path, {"files": record.files, "content": record.content, "skipped": skipped})


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
    """Removes what a killed process left behind; one that still writes has touched its file today."""
    for left in folder.glob("tmp-*"):
        try:
            if time.time() - left.stat().st_mtime > _DAY_SECONDS:
                left.unlink()
        except FileNotFoundError:
            continue  # another process was faster
