"""Uploads in pieces: a broken one goes on where it stopped; a finished one is judged, then moved to its place.

.unnoise/uploads/ID/words.json   its name, size and set
.unnoise/uploads/ID/file.png     what has arrived
.unnoise/pictures/ID.png         single pictures, for Play and Understand
"""

import json
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from unnoise.app.bodies import PIECE
from unnoise.app.errors import ConflictError, NotFoundError, RequestError, TooLargeError
from unnoise.app.file_names import put_in_place, safe_name
from unnoise.app.judging import ARCHIVES, PICTURES, START, judge, true_suffix
from unnoise.app.workspace import Workspace, require_name
from unnoise.utils.files import atomic_write

LARGEST = 4 * 2**30
"""Bytes of an upload."""
LARGEST_PICTURE = 64 * 2**20
"""Bytes of a single picture."""
_MOST_OPEN = 200
_MOST_FILES = 100_000
_MOST_PICTURES = 1000
_RESERVE = 256 * 2**20
"""Bytes of the disk that stay free."""
_OLD_SECONDS = 24 * 3600
_ID = re.compile("[0-9a-f]{16}", re.ASCII)


@dataclass(frozen=True)
class Upload:
    """An upload that has begun.

    Args:
        folder: where it is kept until it is finished.
        name: safe as a file name.
        size: bytes that it will have.
        set: the set of pictures to which it goes; None for a single picture.
    """

    folder: Path
    name: str
    size: int
    set: str | None

    @property
    def id(self) -> str:
        """Its id."""
        return self.folder.name

    @property
    def file(self) -> Path:
        """What has arrived."""
        return self.folder / f"file{Path(self.name).suffix}"

    @property
    def received(self) -> int:
        """Bytes that have arrived; none where it has just been finished."""
        try:
            return self.file.stat().st_size
        except FileNotFoundError:
            return 0

    def told(self) -> dict[str, Any]:
        """What a browser is told."""
        return {"id": self.id, "name": self.name, "size": self.size, "received": self.received, "piece": PIECE}


def begin(workspace: Workspace, name: object, size: object, into: object) -> Upload:
    """Begins an upload.

    Args:
        workspace: where it goes.
        name: of the file.
        size: bytes that it has.
        into: name of a set of pictures, which may be new; None for a single picture.

    Raises:
        RequestError: for a name, size or set that cannot be, too many uploads or files, or a disk too full.
    """
    name = safe_name(name)
    size = _require_size(name, size, single=into is None)
    into = None if into is None else _require_room_in_set(workspace, into).name
    folder = _folder(workspace, "uploads")
    others = list(_opened(workspace, folder))
    if len(others) >= _MOST_OPEN:
        raise ConflictError(f"{_MOST_OPEN} uploads have begun and not ended: finish or cancel some of them.")
    needed = size + sum(max(0, one.size - one.received) for one in others)
    if shutil.disk_usage(folder).free < needed + _RESERVE:
        raise ConflictError(f"The disk has no room for {size / 2**20:,.0f} MB more: free some space.")
    upload = Upload(folder / secrets.token_hex(8), name, size, into)
    upload.folder.mkdir()
    upload.file.touch()
    with atomic_write(upload.folder / "words.json") as file:
        file.write_text(json.dumps({"name": name, "size": size, "set": into}), encoding="utf-8")
    return upload


def find(workspace: Workspace, number: str) -> Upload:
    """The upload with this id; raises `NotFoundError`."""
    if _ID.fullmatch(number):
        folder = workspace.within(".unnoise", "uploads", number)
        try:
            words = json.loads((folder / "words.json").read_bytes())
            upload = Upload(folder, words["name"], words["size"], words["set"])
            if upload.file.is_file() and not upload.file.is_symlink():
                return upload
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            pass
    raise NotFoundError("There is no upload with this id: it may have been finished, or removed after a day.")


def add_piece(workspace: Workspace, number: str, offset: int, piece: bytes) -> Upload:
    """Adds a piece to an upload.

    Raises:
        ConflictError: where it does not begin at what was received.
        TooLargeError: for more than the upload has.
        RequestError: where a file does not begin as its suffix says.
    """
    with _locked(find(workspace, number)) as upload:
        received = upload.received
        if offset != received:
            raise ConflictError(f"{received} bytes of {upload.name} have arrived: go on from there.")
        if not piece:
            raise RequestError("The piece is empty.")
        if len(piece) > PIECE or received + len(piece) > upload.size:
            raise TooLargeError(f"{upload.name} was to have {upload.size:,} bytes, and here are more.")
        try:
            with upload.file.open("r+b") as file:
                start = (file.read(START) + piece)[:START]
                if len(start) == min(START, upload.size):
                    true_suffix(start, upload.name)
                file.seek(received)
                file.write(piece)
        except OSError as error:
            raise ConflictError(
                f"{upload.name} cannot be written: {error.strerror}. Free some space."
            ) from error
        return upload


def finish(workspace: Workspace, number: str) -> Path:
    """Judges an upload that has arrived, and moves it to its place, which is returned.

    Raises:
        RequestError: where some of it is missing, or it cannot be used, in which case it is removed.
    """
    with _locked(find(workspace, number)) as upload:
        if upload.received != upload.size:
            raise ConflictError(f"Only {upload.received:,} of {upload.size:,} bytes of {upload.name} are here.")
        try:
            suffix = judge(upload.file, upload.name)
        except RequestError:
            shutil.rmtree(upload.folder, ignore_errors=True)
            raise
        if upload.set is None:
            _forget_pictures(workspace)
            folder, name = _folder(workspace, "pictures"), f"{upload.id}{suffix}"
        else:
            folder, name = _require_room_in_set(workspace, upload.set), Path(upload.name).stem + suffix
            folder.mkdir(parents=True, exist_ok=True)
        place = put_in_place(upload.file, folder, name)
        shutil.rmtree(upload.folder, ignore_errors=True)
        return place


def cancel(workspace: Workspace, number: str) -> None:
    """Removes an upload that has begun."""
    with _locked(find(workspace, number)) as upload:
        shutil.rmtree(upload.folder, ignore_errors=True)


def find_picture(workspace: Workspace, number: object) -> Path:
    """The single picture with this id; raises `NotFoundError`."""
    if isinstance(number, str) and _ID.fullmatch(number):
        for suffix in sorted(PICTURES):
            path = workspace.within(".unnoise", "pictures", number + suffix)
            if path.is_file():
                return path
    raise NotFoundError("There is no picture with this id: upload it again.")


def _require_size(name: str, size: object, *, single: bool) -> int:
    if not isinstance(size, int) or isinstance(size, bool):
        raise RequestError(f"{name} needs its size, a number of bytes.")
    if size < 1:
        raise RequestError(f"{name} is empty: choose another file.")
    if single and Path(name).suffix in ARCHIVES:
        raise RequestError(f"{name} is no picture: choose a picture here.")
    largest = LARGEST_PICTURE if single else LARGEST
    if size > largest:
        raise TooLargeError(f"{name} has {size / 2**20:,.0f} MB, over the limit of {largest // 2**20:,} MB.")
    return size


def _require_room_in_set(workspace: Workspace, name: object) -> Path:
    """The folder of a set, which may not be there yet."""
    if not isinstance(name, str):
        raise RequestError("A set of pictures needs a name.")
    folder = workspace.within("pictures", require_name(name))
    count = sum(1 for _ in islice(folder.iterdir(), _MOST_FILES)) if folder.is_dir() else 0
    if count >= _MOST_FILES:
        raise ConflictError(f"{name} holds {_MOST_FILES:,} files, the most that it may: begin another set.")
    return folder


def _folder(workspace: Workspace, name: str) -> Path:
    folder = workspace.within(".unnoise", name)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _opened(workspace: Workspace, folder: Path) -> Iterator[Upload]:
    """Uploads that have begun; those that nobody went on with for a day are removed."""
    for one in folder.iterdir():
        try:
            upload = find(workspace, one.name)
            old = _age(upload.file) > _OLD_SECONDS
        except NotFoundError:
            upload, old = None, _age(one) > _OLD_SECONDS
        if old:
            shutil.rmtree(one, ignore_errors=True)
        elif upload is not None:
            yield upload


def _age(path: Path) -> float:
    """Seconds since a file was changed."""
    try:
        return time.time() - path.lstat().st_mtime
    except OSError:
        return 0


def _forget_pictures(workspace: Workspace) -> None:
    """Removes the oldest single pictures, where there are very many."""
    pictures = sorted(_folder(workspace, "pictures").iterdir(), key=lambda path: path.lstat().st_mtime)
    for path in pictures[: max(0, len(pictures) - _MOST_PICTURES + 1)]:
        path.unlink(missing_ok=True)


@contextmanager
def _locked(upload: Upload) -> Iterator[Upload]:
    """Keeps others from the same upload; raises `ConflictError` where one is at it."""
    try:
        with FileLock(upload.folder / "lock", timeout=0):
            if not upload.file.is_file():
                raise NotFoundError("There is no upload with this id: it has just been finished.")
            yield upload
    except Timeout:
        raise ConflictError(f"Another request is at {upload.name}: wait for it.") from None
