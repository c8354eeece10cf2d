"""Listings of picture files: sorted names in a folder or zip, and the bytes behind them."""

import os
import stat
import warnings
import zipfile
from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import blake2b
from io import BufferedReader, BytesIO
from pathlib import Path
from typing import NamedTuple, TypeAlias

from unnoise.data.decoding.formats import picture_suffixes
from unnoise.data.limits import LARGE_PICTURE, LARGEST_FILE, require_plausible_member
from unnoise.utils.errors import UnnoiseError, require_permitted
from unnoise.utils.files import is_run_folder, stamp
from unnoise.utils.text import printable

_MISSING = -1


class Entry(NamedTuple):
    """A picture file: its name below the folder with forward slashes, its bytes, and what changes with it."""

    name: str
    size: int
    changed: str


def suffix_of(name: str) -> str:
    """The suffix of a file name in lower case with its dot, or an empty string."""
    return os.path.splitext(name)[1].lower()  # noqa: PTH122 - a Path for each of 100,000 names is slow


def read_bytes(listing: "Listing", entry: Entry) -> bytes:
    """Reads one file whole; raises OSError if it is larger than 512 MB."""
    with listing.open(entry) as file:
        return file.read(LARGEST_FILE)


def _require_size(entry: Entry) -> None:
    if entry.size > LARGEST_FILE:
        raise OSError(
            f"it has {entry.size / 2**20:,.0f} MB, over the limit of {LARGEST_FILE / 2**20:,.0f} MB: "
            f"make it smaller, or leave it out"
        )


def _hidden(part: str) -> bool:
    return part.startswith(".") or part == "__MACOSX"


def _digest(lines: list[str]) -> bytes:
    text = "\n".join(lines).encode("utf-8", "surrogateescape")
    return blake2b(text, digest_size=16).digest()


@dataclass
class FolderListing:
    """The pictures below a folder at any depth; each folder is visited once, whatever links lead to it."""

    folder: Path
    entries: list[Entry] = field(default_factory=list)
    ignored: Counter[str] = field(default_factory=Counter)
    other_names: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._suffixes = picture_suffixes()
        seen: set[tuple[int, int]] = set()
        folders, links = [""], list[str]()
        while folders or links:
            # Links come last and sorted, so that a folder is listed under its own name if it has one.
            links.sort(reverse=True)
            below = folders.pop() if folders else links.pop()
            try:
                self._visit(below, seen, folders, links)
            except OSError as error:
                raise UnnoiseError(
                    f"Cannot read the folder {str(self.folder / below)!r}: {error.strerror}. Change its "
                    f"permissions, or move it elsewhere."
                ) from error
        self.entries.sort()

    def _visit(self, below: str, seen: set[tuple[int, int]], folders: list[str], links: list[str]) -> None:
        path = os.path.join(self.folder, below)  # noqa: PTH118 - scandir names are strings
        status = os.stat(path)  # noqa: PTH116
        if (status.st_dev, status.st_ino) in seen:
            return
        seen.add((status.st_dev, status.st_ino))
        with os.scandir(path) as entries:
            items = list(entries)
            if any(item.name == "config.json" for item in items) and is_run_folder(Path(path)):
                return  # its sample sheets are no training data
            for item in items:
                if _hidden(item.name):
                    continue
                name = below + item.name
                if _is_folder(item):
                    (links if item.is_symlink() else folders).append(name + "/")
                elif suffix_of(item.name) in self._suffixes:
                    self.entries.append(_entry(name, item))
                else:
                    self.ignored[suffix_of(item.name)] += 1
                    self.other_names.append(name)

    def identity(self, *, dated: bool) -> bytes:
        """A hash of the relative names and sizes; dated: also of the folder's path and the times of change."""
        if not dated:
            return _digest(["files", *(f"{name}\0{size}" for name, size, _ in self.entries)])
        place = str(self.folder.resolve())
        return _digest(
            ["files", place, *(f"{name}\0{size}\0{changed}" for name, size, changed in self.entries)]
        )

    def open(self, entry: Entry) -> BytesIO | BufferedReader:
        """Opens one file of the folder."""
        if entry.size == _MISSING:
            raise OSError("a broken link, or not a regular file")
        _require_size(entry)
        return (self.folder / entry.name).open("rb")

    def close(self) -> None:
        """Nothing stays open."""


def _is_folder(item: "os.DirEntry[str]") -> bool:
    try:
        return item.is_dir()
    except OSError:  # a link to itself
        return False


def _entry(name: str, item: "os.DirEntry[str]") -> Entry:
    try:
        status = item.stat()
    except OSError:
        return Entry(name, _MISSING, "")
    if not stat.S_ISREG(status.st_mode):  # reading a pipe would wait for ever
        return Entry(name, _MISSING, "")
    return Entry(name, status.st_size, stamp(status))


class ZipListing:
    """The pictures in a zip file, unpacked in memory: a member's name is never used as a path."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.ignored: Counter[str] = Counter()

    @cached_property
    def _archive(self) -> zipfile.ZipFile:
        # Opened late: if the cache knows the file, its directory need not be read.
        try:
            return zipfile.ZipFile(self.path)
        except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError) as error:
            require_permitted(self.path, error)
            raise UnnoiseError(
                f"Cannot read the zip file {str(self.path)!r}: {error}. Copy it again, or zip the pictures "
                f"again."
            ) from error

    @cached_property
    def _members(self) -> dict[str, zipfile.ZipInfo]:
        members, repeated, suffixes = {}, list[str](), picture_suffixes()
        for member in self._archive.infolist():
            name = member.filename.replace("\\", "/")
            if not name or name.endswith("/") or any(_hidden(part) for part in name.split("/")):
                continue
            if suffix_of(name) in suffixes:
                repeated += [name] if name in members else []
                members[name] = member
            else:
                self.ignored[suffix_of(name)] += 1
        if repeated:
            warnings.warn(
                f"{len(repeated):,} pictures in {str(self.path)!r} have the name of a later one and are left "
                f"out, such as {printable(repeated[0])!r}. Rename them to use them.",
                stacklevel=2,
            )
        return members

    @cached_property
    def entries(self) -> list[Entry]:
        """Every member with the suffix of a picture, sorted by name."""
        return [Entry(name, member.file_size, "") for name, member in sorted(self._members.items())]

    def identity(self, *, dated: bool) -> bytes:
        """A hash of the members' names, sizes and checksums; dated: of the zip's path, size and time."""
        if dated:
            status = self.path.stat()
            return _digest(["zip", str(self.path.resolve()), f"{status.st_size}\0{stamp(status)}"])
        members = sorted(self._members.items())
        return _digest(["zip", *(f"{name}\0{member.file_size}\0{member.CRC}" for name, member in members)])

    def open(self, entry: Entry) -> BytesIO | BufferedReader:
        """Unpacks one member in memory, up to the size that the zip states."""
        _require_size(entry)
        info = self._members[entry.name]
        require_plausible_member(info, LARGE_PICTURE)
        with self._archive.open(info) as member:
            return BytesIO(member.read(entry.size))

    def close(self) -> None:
        """Closes the zip file."""
        if "_archive" in self.__dict__:
            self._archive.close()


Listing: TypeAlias = FolderListing | ZipListing
"""The picture files of a source: `entries` in a fixed order, and `open` to read one."""
