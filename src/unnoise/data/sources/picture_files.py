"""File source: the picture files of a folder or zip; damaged ones are skipped."""

from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from hashlib import blake2b
from zipfile import BadZipFile
from zlib import error as ZlibError  # noqa: N812

import numpy as np
from numpy.typing import NDArray

from unnoise.data.decoding.conversion import MODES, DecodeSettings
from unnoise.data.decoding.decode import Header, UnreadableError, UnsupportedError, decode, measure, read_header
from unnoise.data.decoding.formats import left_out_text, suffixes_text
from unnoise.data.decoding.value_range import ValueStatistics, merged
from unnoise.data.folder_levels import FolderSplit, labels_from_folders
from unnoise.data.image_set import Skipped
from unnoise.data.labels import Labels, count_classes
from unnoise.data.limits import LARGEST_FILE, Quota
from unnoise.data.parallel import map_in_order
from unnoise.data.progress import Progress, progress_bar
from unnoise.data.sources.listing import Entry, Listing, read_bytes, suffix_of
from unnoise.data.sources.source import DecodedBatch, Summary, summarize_headers
from unnoise.utils.errors import UnnoiseError, require
from unnoise.utils.text import printable

# zipfile raises RuntimeError for a password and NotImplementedError for an unknown compression.
_READ_ERRORS = (OSError, ValueError, BadZipFile, ZlibError, EOFError, RuntimeError, NotImplementedError)
_BYTE_QUOTA = Quota(LARGEST_FILE)
"""The bytes of all files that are being read, by any number of threads."""


@dataclass(frozen=True)
class FileSource:
    """A `Source` of the picture files of a folder or zip."""

    name: str
    listing: Listing

    def identity(self, *, dated: bool) -> bytes:
        """A hash that names the listing."""
        return self.listing.identity(dated=dated)

    def total(self) -> int:
        """The number of files; raises UnnoiseError if there are none."""
        if not self.listing.entries:
            others = suffixes_text(self.listing.ignored) or "no files"
            raise UnnoiseError(
                f"There are no pictures in {self.name!r}, which holds {others}. Name a folder or zip "
                f"that holds files such as .png, .jpg, .webp, .avif, .tif or .bmp."
            )
        return len(self.listing.entries)

    def summarize(self, *, progress: Progress = False) -> Summary:
        """Reads every header; raises UnnoiseError if no picture can be read."""
        bar = progress_bar("Looking at pictures", self.total(), progress)
        headers: list[tuple[str, Header]] = []
        names: list[str] = []
        skipped: list[Skipped] = []
        with bar, closing(map_in_order(self._header, self.listing.entries)) as found:
            for entry, header in zip(self.listing.entries, found, strict=True):
                bar.advance(1)
                if isinstance(header, Skipped):
                    skipped.append(header)
                else:
                    headers.append((suffix_of(entry.name), header))
                    names.append(printable(entry.name))
        summary = summarize_headers(self.name, headers, skipped, self.listing.ignored)
        known = dict(zip(names, (header for _, header in headers), strict=True))
        return replace(summary, classes=count_classes(lambda: self.own_labels(names)), headers=known)

    def unconverted(self, settings: DecodeSettings) -> NDArray[np.uint8] | None:
        """None: files always need decoding."""
        return None

    def batches(self, settings: DecodeSettings | None, first: int = 0) -> Generator[DecodedBatch, None, None]:
        """One batch for each file, of one picture or none."""
        self.total()
        require(
            settings is None or settings.channels in MODES,
            f"Picture files cannot have {settings and settings.channels} channels. Choose 1 (grey), 2 (grey "
            f"and alpha), 3 (colour) or 4 (colour and alpha).",
        )
        return map_in_order(partial(self._batch, settings), self.listing.entries[first:])

    def statistics(self, *, progress: Progress = False) -> dict[str, ValueStatistics]:
        """The values of all pictures of more than 8 bits, by kind of number."""
        bar = progress_bar("Finding the range", self.total(), progress)
        with bar, closing(map_in_order(self._measure, self.listing.entries)) as found:

            def counted() -> Iterator[ValueStatistics | None]:
                for one in found:
                    bar.advance(1)
                    yield one

            return merged(counted())

    def is_plain(self) -> bool:
        """Whether no picture needs a range or a conversion of its colours; reads every header."""
        with closing(map_in_order(self._header, self.listing.entries)) as found:
            return not any(isinstance(header, Skipped) or header.special for header in found)

    def reading(self) -> str:
        """Empty: files have no axes to tell apart."""
        return ""

    def left_out(self, taken: int, skipped: Sequence[Skipped]) -> str:
        """A sentence on the files that were not taken, counted by suffix."""
        unreadable = Counter(suffix_of(one.name) for one in skipped)
        return left_out_text(taken, self.listing.ignored if self.listing.entries else Counter(), unreadable)

    def picture_names(self) -> list[str]:
        """Names below the folder or in the zip, with forward slashes."""
        return [printable(entry.name) for entry in self.listing.entries]

    def empty_folders(self) -> list[str]:
        """Folders without a picture or a folder in them, with a slash at the end."""
        return [printable(name) for name in self.listing.empty_folders]

    def own_labels(
        self, names: Sequence[str], level: int | None = None, split: FolderSplit | None = None
    ) -> Labels:
        """Labels by folder; raises UnnoiseError if there are no folders of that level."""
        return labels_from_folders(names, self.name, level, split)

    def close(self) -> None:
        """Closes the listing."""
        self.listing.close()

    def _header(self, entry: Entry) -> Header | Skipped:
        try:
            with _BYTE_QUOTA.reserve(entry.size), self.listing.open(entry) as file:
                return read_header(file)
        except (UnreadableError, *_READ_ERRORS) as error:
            return _skip(entry, error)

    def _measure(self, entry: Entry) -> ValueStatistics | None:
        try:
            with _BYTE_QUOTA.reserve(entry.size):
                return measure(read_bytes(self.listing, entry))
        except _READ_ERRORS:
            return None

    def _batch(self, settings: DecodeSettings | None, entry: Entry) -> DecodedBatch:
        with _BYTE_QUOTA.reserve(entry.size):
            return self._read(settings, entry)

    def _read(self, settings: DecodeSettings | None, entry: Entry) -> DecodedBatch:
        try:
            data = read_bytes(self.listing, entry)
        except _READ_ERRORS as error:
            return DecodedBatch(None, b"", 1, _skip(entry, error))
        digest = blake2b(data, digest_size=16).digest()
        if settings is None:
            return DecodedBatch(None, digest, 1)
        notes: list[str] = []
        try:
            pixels = decode(data, settings, notes)[None]
            named = tuple(f"{printable(entry.name)}: {note}" for note in notes)
            return DecodedBatch(pixels, digest, 1, notes=named)
        except UnreadableError as error:
            # What another package would read is looked at anew next time.
            known = b"" if isinstance(error, UnsupportedError) else digest
            return DecodedBatch(None, known, 1, _skip(entry, error))


def _skip(entry: Entry, error: Exception) -> Skipped:
    if isinstance(error, PermissionError):
        return Skipped(printable(entry.name), "permission denied: change its permissions to use it")
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return Skipped(printable(entry.name), reason or type(error).__name__)
