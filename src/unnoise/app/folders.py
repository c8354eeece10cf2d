"""Folders of the workspace that pictures may come from: signed ids for them, their contents, and typed paths.

Links, hidden folders and the folders of the app itself are left out, whatever a request says.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from itsdangerous import BadData, URLSafeSerializer

from unnoise.app.errors import NotFoundError, RequestError
from unnoise.app.judging import ARCHIVES
from unnoise.app.workspace import Workspace, first_link
from unnoise.data.decoding.formats import picture_suffixes
from unnoise.utils.text import printable

_OWN = frozenset({"runs", "trash"})
"""Folders at the top that hold no pictures to learn from."""
_ON_A_PAGE = 60
_MOST_COUNTED = 2000
"""Entries of a folder that are looked at to count its pictures."""
_MOST_ENTRIES = 200_000
_LONGEST_PATH = 4096
_NOT_THERE = "There is no such folder or file of pictures in the workspace."


@dataclass(frozen=True)
class Count:
    """The pictures in a folder at any depth, as far as it was looked at."""

    pictures: int
    more: bool


def place_id(workspace: Workspace, place: Path) -> str:
    """The id of a folder or file in the workspace."""
    return _signer(workspace).dumps(workspace.relative(place))


def find_place(workspace: Workspace, number: object) -> Path:
    """The folder or file with this id; an empty one is that of the workspace.

    Raises:
        NotFoundError: for an id that the app did not give out, and what is gone, or is a link by now.
    """
    if number == "":
        return workspace.root
    try:
        name = _signer(workspace).loads(number if isinstance(number, str) else "")
    except (BadData, ValueError):  # a text that is no UTF-8
        raise NotFoundError(_NOT_THERE) from None
    return _require_shown(workspace, workspace.root / str(name))


def find_source(workspace: Workspace, number: object) -> Path:
    """The folder or file with this id, to learn from.

    Raises:
        NotFoundError: as `find_place`.
        RequestError: where there are links in the folder, which the trainer would follow.
    """
    place = find_place(workspace, number)
    if place == workspace.root:
        raise RequestError("Choose a folder of pictures inside the workspace, not the whole of it.")
    link = first_link(place) if place.is_dir() else None
    if link is not None:
        name = printable(workspace.relative(link))
        raise RequestError(f"{name!r} is a link: copy what it leads to into the folder.")
    return place


def named(workspace: Workspace, text: str) -> Path:
    """The folder or file at a path that somebody typed, from the workspace or absolute.

    Raises:
        NotFoundError: for one that is outside of the workspace, or not there.
    """
    text = text.strip()
    if not text or len(text) > _LONGEST_PATH or not text.isprintable():
        raise NotFoundError(_NOT_THERE)
    try:
        place = (workspace.root / Path(text).expanduser()).resolve()
    except (OSError, RuntimeError, ValueError):  # a loop of links, or no home
        raise NotFoundError(_NOT_THERE) from None
    return _require_shown(workspace, place)


def listing(workspace: Workspace, folder: Path, page: int = 1) -> dict[str, Any]:
    """What a browser is told of a folder: the folders above and in it, and the archives and arrays in it.

    Args:
        workspace: which it is in.
        folder: by `find_place` or `named`; for a file, the one that it is in.
        page: of the folders and files in it, from 1.
    """
    folder = folder if folder.is_dir() else folder.parent
    top = folder == workspace.root
    inside = [entry for entry in islice(_entries(folder), _MOST_ENTRIES) if not (top and _is_own(entry.name))]
    folders = sorted(entry.name for entry in inside if entry.is_dir(follow_symlinks=False))
    files = sorted(entry.name for entry in inside if _is_archive(entry))
    pages = max(1, -(-max(len(folders), len(files)) // _ON_A_PAGE))
    shown = slice((page - 1) * _ON_A_PAGE, page * _ON_A_PAGE)
    above = [one for one in reversed(folder.parents) if one.is_relative_to(workspace.root)]
    return {
        **_told(workspace, folder),
        **_counted(folder),
        "parents": [_told(workspace, one) for one in above],
        "folders": [{**_told(workspace, folder / name), **_counted(folder / name)} for name in folders[shown]],
        "files": [_told(workspace, folder / name) for name in files[shown]],
        "page": page,
        "pages": pages,
    }


def count(folder: Path) -> Count:
    """Counts the pictures in a folder, among its first 2,000 entries."""
    suffixes = picture_suffixes()
    walk = _walk(folder)
    seen = list(islice(walk, _MOST_COUNTED))
    pictures = sum(os.path.splitext(entry.name)[1].lower() in suffixes for entry in seen)  # noqa: PTH122
    return Count(pictures, next(walk, None) is not None)


def _signer(workspace: Workspace) -> URLSafeSerializer:
    # Names of files need not be UTF-8: what is not is escaped.
    return URLSafeSerializer(workspace.secret, salt="place", serializer_kwargs={"ensure_ascii": True})


def _require_shown(workspace: Workspace, place: Path) -> Path:
    """The place, if neither it nor a folder above it is outside, hidden, a link or the app's own."""
    try:
        parts = place.relative_to(workspace.root).parts
        if any(part.startswith(".") for part in parts) or (parts and _is_own(parts[0])):
            raise NotFoundError(_NOT_THERE)
        place = workspace.within(*parts)
        if place.is_dir() or (place.is_file() and place.suffix.lower() in ARCHIVES):
            return place
    except (OSError, ValueError) as error:
        raise NotFoundError(_NOT_THERE) from error
    raise NotFoundError(_NOT_THERE)


def _is_own(name: str) -> bool:
    return name.casefold() in _OWN


def _is_archive(entry: "os.DirEntry[str]") -> bool:
    return entry.is_file(follow_symlinks=False) and Path(entry.name).suffix.lower() in ARCHIVES


def _told(workspace: Workspace, place: Path) -> dict[str, Any]:
    number = "" if place == workspace.root else place_id(workspace, place)
    return {"id": number, "name": printable(place.name)}


def _counted(folder: Path) -> dict[str, Any]:
    found = count(folder)
    return {"pictures": found.pictures, "more": found.more}


def _entries(folder: Path | str) -> Iterator["os.DirEntry[str]"]:
    """What is in a folder that may be read, without links and hidden names."""
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if not (entry.name.startswith(".") or entry.is_symlink()):
                    yield entry
    except OSError:
        return


def _walk(folder: Path) -> Iterator["os.DirEntry[str]"]:
    """What is in a folder and the folders in it."""
    folders: list[Path | str] = [folder]
    while folders:
        for entry in _entries(folders.pop()):
            yield entry
            if entry.is_dir(follow_symlinks=False):
                folders.append(entry.path)
