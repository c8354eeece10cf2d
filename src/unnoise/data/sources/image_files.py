"""Many picture files become one stream of arrays, and a damaged one costs only itself."""

from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from hashlib import blake2b
from zipfile import BadZipFile
from zlib import error as ZlibError  # noqa: N812

import numpy as np
from numpy.typing import NDArray

from unnoise.data.cache.parallel import Room, bar, in_order
from unnoise.data.decoding.decode import MODES, Header, UnreadableError, decode, read_header
from unnoise.data.image_set import Skipped
from unnoise.data.labels.classes import Labels, counted, of_folders
from unnoise.data.settings import Settings
from unnoise.data.sources.listing import LARGEST_FILE, SUFFIXES, Entry, Listing, read_bytes, suffix_of
from unnoise.data.sources.origin import Batch
from unnoise.data.summary import Summary, summarize_headers
from unnoise.utils.errors import UnnoiseError, require
from unnoise.utils.text import printable

# zipfile says RuntimeError for a password and NotImplementedError for an unknown compression.
_READ_ERRORS = (OSError, ValueError, BadZipFile, ZlibError, EOFError, RuntimeError, NotImplementedError)
_ROOM = Room(LARGEST_FILE)
"""The bytes of all files that are read at once, by any number of threads."""


@dataclass(frozen=True)
class PictureFiles:
    """The picture files of a folder or a zip, as an `Origin`."""

    source: str
    listing: Listing

    def identity(self, *, dated: bool) -> bytes:
        """That of the listing."""
        return self.listing.identity(dated=dated)

    def total(self) -> int:
        """The number of files; raises UnnoiseError where there are none."""
        if not self.listing.entries:
            others = ", ".join(
                f"{n} {suffix or 'without suffix'}" for suffix, n in self.listing.ignored.items()
            )
            raise UnnoiseError(
                f"A folder or zip of pictures must hold files such as {', '.join(sorted(SUFFIXES))}, but "
                f"{self.source!r} holds {others or 'no files'}: name the folder that holds the pictures."
            )
        return len(self.listing.entries)

    def summarize(self, *, progress: bool = False) -> Summary:
        """Reads every header; raises UnnoiseError where no picture can be read."""
        shown, advance = bar("Looking at pictures", self.total(), show=progress)
        headers: list[tuple[str, Header]] = []
        names: list[str] = []
        skipped: list[Skipped] = []
        with shown, closing(in_order(self._header, self.listing.entries)) as found:
            for entry, header in zip(self.listing.entries, found, strict=True):
                advance(1)
                if isinstance(header, Skipped):
                    skipped.append(header)
                else:
                    headers.append((suffix_of(entry.name), header))
                    names.append(printable(entry.name))
        summary = summarize_headers(self.source, headers, skipped, self.listing.ignored)
        known = dict(zip(names, (header for _, header in headers), strict=True))
        return replace(summary, classes=counted(lambda: self.own_labels(names)), headers=known)

    def ready(self, settings: Settings) -> NDArray[np.uint8] | None:
        """Files always need decoding."""
        return None

    def batches(self, settings: Settings | None) -> Generator[Batch, None, None]:
        """One batch for each file, of one picture or none."""
        self.total()
        require(
            settings is None or settings.channels in MODES,
            f"channels must be 1, 2, 3 or 4 for picture files, got {settings and settings.channels}: "
            f"choose 3 for colour or 1 for grey.",
        )
        return in_order(partial(self._batch, settings), self.listing.entries)

    def picture_names(self) -> list[str]:
        """Below the folder or in the zip, with forward slashes."""
        return [printable(entry.name) for entry in self.listing.entries]

    def own_labels(self, names: Sequence[str]) -> Labels:
        """By folder; raises UnnoiseError where a picture lies in none."""
        return of_folders(names, self.source)

    def close(self) -> None:
        """Closes the listing."""
        self.listing.close()

    def _header(self, entry: Entry) -> Header | Skipped:
        try:
            with _ROOM.taken(entry.size), self.listing.open(entry) as file:
                return read_header(file)
        except (UnreadableError, *_READ_ERRORS) as error:
            return _skip(entry, error)

    def _batch(self, settings: Settings | None, entry: Entry) -> Batch:
        with _ROOM.taken(entry.size):
            return self._read(settings, entry)

    def _read(self, settings: Settings | None, entry: Entry) -> Batch:
        try:
            data = read_bytes(self.listing, entry)
        except _READ_ERRORS as error:
            return Batch(None, b"", 1, _skip(entry, error))
        digest = blake2b(data, digest_size=16).digest()
        if settings is None:
            return Batch(None, digest, 1)
        try:
            return Batch(decode(data, settings)[None], digest, 1)
        except UnreadableError as error:
            return Batch(None, digest, 1, _skip(entry, error))


def _skip(entry: Entry, error: Exception) -> Skipped:
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return Skipped(printable(entry.name), reason or type(error).__name__)
