"""Listings of picture files: sorted names in a folder or zip, and the bytes behind them."""

import itertools
import os
import stat
import warnings
import zipfile
from collections import Counter
from collections.abc import Container
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import blake2b
from io import BufferedReader, BytesIO
from pathlib import Path
from typing import NamedTuple, TypeAlias

from unnoise.data.decoding.formats import picture_suffixes
from unnoise.data.limits import LARGE_PICTURE, LARGEST_FILE, require_plausible_member
from unnoise.utils.errors import UnnoiseError, require, require_permitted
from unnoise.utils.files import is_run_folder, stamp
from unnoise.utils.text import printable

_MISSING = -1
_MOST_AGAIN, _MOST_TIMES_AGAIN = 10_000, 20
"""Files and folders that may be listed again under another name: so many, and so many times all there are."""


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


def _count_hidden(name: str, ignored: Counter[str]) -> None:
    """Counts a hidden picture; macOS keeps the attributes of x.png in ._x.png, which is none."""
    if suffix_of(name) in picture_suffixes() and not name.startswith("._"):
        ignored[f"hidden {suffix_of(name)}"] += 1


def _free_name(name: str, taken: Container[str]) -> str:
    """`a (2).png` for a second a.png, or the next number that is free."""
    stem, suffix = os.path.splitext(name)  # noqa: PTH122
    return next(one for number in itertools.count(2) if (one := f"{stem} ({number}){suffix}") not in taken)


def _digest(lines: list[str]) -> bytes:
    text = "\n".join(lines).encode("utf-8", "surrogateescape")
    return blake2b(text, digest_size=16).digest()


class _Place(NamedTuple):
    """A folder to list: its name below the source, and the folders above it, by device and inode."""

    below: str
    above: frozenset[tuple[int, int]]


@dataclass
class FolderListing:
    """The pictures below a folder at any depth.

    Links are followed: a folder to which several lead is listed under each name. One that leads to a folder
    above itself ends there.
    """

    folder: Path
    entries: list[Entry] = field(default_factory=list)
    ignored: Counter[str] = field(default_factory=Counter)
    other_names: list[str] = field(default_factory=list)
    empty_folders: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._suffixes = picture_suffixes()
        places, seen = [_Place("", frozenset())], set[tuple[int, int]]()
        new = again = 0
        while places:
            place = places.pop()
            try:
                status = (self.folder / place.below).stat()
                found = status.st_dev, status.st_ino
                if found in place.above:
                    continue
                before = len(self.entries)
                listed = self._visit(place.below)
            except OSError as error:
                raise UnnoiseError(
                    f"Cannot read the folder {str(self.folder / place.below)!r}: {error.strerror}. Change its "
                    f"permissions, or move it elsewhere."
                ) from error
            number = 1 + len(self.entries) - before
            new, again = (new, again + number) if found in seen else (new + number, again)
            seen.add(found)
            require(
                again <= _MOST_AGAIN + _MOST_TIMES_AGAIN * new,
                f"Links in {str(self.folder)!r} lead to the same folders again and again, such as "
                f"{place.below!r}. Remove those that lead in circles.",
            )
            places += (_Place(name, place.above | {found}) for name in listed)
        self.entries.sort()

    def _visit(self, below: str) -> list[str]:
        """Lists one folder, and returns the names of the folders in it."""
        path = os.path.join(self.folder, below)  # noqa: PTH118 - scandir names are strings
        with os.scandir(path) as entries:
            items = list(entries)
        if any(item.name == "config.json" for item in items) and is_run_folder(Path(path)):
            return []  # its sample sheets are no training data
        folders, before = [], len(self.entries)
        for item in items:
            name, suffix = below + item.name, suffix_of(item.name)
            if _hidden(item.name):
                _count_hidden(item.name, self.ignored)
            elif _is_folder(item):
                folders.append(name + "/")
            elif suffix in self._suffixes or (not suffix and _leads_nowhere(item)):  # it may have been a folder
                self.entries.append(_entry(name, item))
            else:
                self.ignored[suffix] += 1
                self.other_names.append(name)
        if not folders and len(self.entries) == before:
            self.empty_folders.append(below)
        return folders

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


def _leads_nowhere(item: "os.DirEntry[str]") -> bool:
    return item.is_symlink() and not os.path.exists(item.path)  # noqa: PTH110


def _entry(name: str, item: "os.DirEntry[str]") -> Entry:
    try:
        status = item.stat()
    except OSError:
        return Entry(name, _MISSING, "")
    if not stat.S_ISREG(status.st_mode):  # reading a pipe would wait for ever
        return Entry(name, _MISSING, "")
    return Entry(name, status.st_size, stamp(status))


def _with_parents(folder: str) -> list[str]:
    """a/b/c, a/b and a; nothing for a hidden folder, or one in it."""
    parts = [part for part in folder.split("/") if part]
    return [] if any(map(_hidden, parts)) else ["/".join(parts[:end]) for end in range(len(parts), 0, -1)]


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
        members, repeated = dict[str, zipfile.ZipInfo](), list[tuple[str, zipfile.ZipInfo]]()
        suffixes = picture_suffixes()
        for member in self._archive.infolist():
            name = member.filename.replace("\\", "/")
            folder, _, last = name.rpartition("/")
            if any(_hidden(part) for part in folder.split("/")) or not last:
                continue
            if _hidden(last):
                _count_hidden(last, self.ignored)
            elif suffix_of(name) not in suffixes:
                self.ignored[suffix_of(name)] += 1
            elif name in members:
                repeated.append((name, member))
            else:
                members[name] = member
        renamed = []
        for name, member in repeated:
            renamed.append(_free_name(name, members))
            members[renamed[-1]] = member
        if repeated:
            warnings.warn(
                f"{len(repeated):,} pictures in {str(self.path)!r} have the name of an earlier one, such as "
                f"{printable(repeated[0][0])!r}. All are taken, those under names with a number, such as "
                f"{printable(renamed[0])!r}.",
                stacklevel=2,
            )
        return members

    @property
    def empty_folders(self) -> list[str]:
        """Folders without a picture or a folder in them, with a slash at the end."""
        names = (one.filename.replace("\\", "/").rpartition("/")[0] for one in self._archive.infolist())
        folders = {parent for name in names for parent in _with_parents(name)}
        full = {name.rpartition("/")[0] for name in self._members}
        full |= {folder.rpartition("/")[0] for folder in folders}
        return sorted(f"{folder}/" for folder in folders - full)

    @cached_property
    def entries(self) -> list[Entry]:
        """Every member with the suffix of a picture, sorted by name."""
        return [Entry(name, member.file_size, "") for name, member in sorted(self._members.items())]

    def identity(self, *, dated: bool) -> bytes:
        """A hash of the members' names, sizes and checksums; dated: of the zip's path, size and time."""
        if dated:
            status = self.path.stat()
            # "names": a record from before members of one name were all taken is compared once.
            return _digest(["zip names", str(self.path.resolve()), f"{status.st_size}\0{stamp(status)}"])
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
