"""The workspace: one folder that holds everything the app reads and writes.

    pictures/          sets of pictures that were uploaded
    runs/NAME/         runs, as `unnoise train` writes them without --out
    trash/NAME/        deleted runs
    .unnoise/          jobs, tasks, thumbnails, uploads and the secret that signs ids

Nothing outside of it is read or written. A link that leads out of it is refused, wherever it stands.
"""

import hashlib
import os
import secrets
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from unnoise.app.errors import ForbiddenError, NotFoundError
from unnoise.utils.errors import UnnoiseError, require
from unnoise.utils.files import atomic_write
from unnoise.utils.text import printable

_ID_DIGITS = 12


@dataclass(frozen=True)
class Workspace:
    """The folders of a workspace.

    Args:
        root: absolute, without links.
    """

    root: Path

    @classmethod
    def open(cls, folder: Path) -> "Workspace":
        """The workspace in this folder, which is made if it is not there.

        Raises:
            UnnoiseError: for a link, or what is no folder.
        """
        folder = folder.expanduser()
        require(
            not folder.is_symlink(),
            f"The workspace {folder} is a link: name the folder that it leads to, {folder.resolve()}.",
        )
        workspace = cls(folder.resolve())
        for made in (workspace.root, workspace.runs, workspace.trash, workspace.pictures, workspace.hidden):
            require(not made.is_symlink(), f"{made} is a link: a workspace holds folders of its own.")
            require(made.is_dir() or not made.exists(), f"{made} is no folder: choose another workspace.")
        for path in workspace.hidden.iterdir() if workspace.hidden.is_dir() else ():
            require(not path.is_symlink(), f"{path} is a link: a workspace holds folders of its own.")
        return workspace

    @property
    def runs(self) -> Path:
        """Where runs are."""
        return self.root / "runs"

    @property
    def trash(self) -> Path:
        """Where deleted runs are."""
        return self.root / "trash"

    @property
    def pictures(self) -> Path:
        """Where uploaded pictures are."""
        return self.root / "pictures"

    @property
    def hidden(self) -> Path:
        """Where the app keeps what nobody else needs."""
        return self.root / ".unnoise"

    def within(self, *parts: str) -> Path:
        """A path below the root, of which no part is a link, `..` or absolute.

        Raises:
            NotFoundError: for any other.
        """
        path = self.root
        for part in parts:
            plain = part not in {"", ".", ".."} and not {"/", "\\", "\0"} & {*part}
            path = path / part if plain else path
            if not plain or path.is_symlink():
                raise NotFoundError("There is nothing of this name in the workspace.")
        return path

    def relative(self, path: Path) -> str:
        """A path as commands name it from within the workspace, with slashes."""
        return path.relative_to(self.root).as_posix()

    @cached_property
    def secret(self) -> str:
        """Signs the ids of folders; made once, and readable by its owner alone."""
        path = self.hidden / "secret"
        try:
            return path.read_text(encoding="utf-8")
        except FileNotFoundError:
            with atomic_write(path) as file:
                file.touch(mode=0o600)
                file.write_text(secrets.token_hex(32), encoding="utf-8")
            return path.read_text(encoding="utf-8")

    def find_run(self, number: str, *, trash: bool = False) -> Path:
        """The folder of a run, by its id.

        Raises:
            NotFoundError: where no run has this id.
            ForbiddenError: where there is a link in it.
        """
        for name in self.run_names(trash=trash):
            if run_id(name) == number:
                return require_no_links((self.trash if trash else self.runs) / name)
        raise NotFoundError("There is no run with this id: it may have been deleted or renamed.")

    def run_names(self, *, trash: bool = False) -> list[str]:
        """Names of all folders of runs."""
        folder = self.trash if trash else self.runs
        try:
            return [
                path.name
                for path in folder.iterdir()
                if not path.is_symlink() and path.is_dir() and not path.name.startswith(".")
            ]
        except OSError:
            return []


def first_link(folder: Path) -> Path | None:
    """A link in a folder, at any depth; None where there is none."""
    folders = [str(folder)]
    while folders:
        with suppress(OSError), os.scandir(folders.pop()) as entries:
            for entry in entries:
                if entry.is_symlink():
                    return Path(entry.path)
                if entry.is_dir():
                    folders.append(entry.path)
    return None


def require_no_links(run: Path) -> Path:
    """The folder of a run, through which nothing outside can be read or written.

    Raises:
        ForbiddenError: where there is a link in it.
    """
    link = first_link(run)
    if link is not None:
        name = printable(link.relative_to(run).as_posix())
        raise ForbiddenError(f"The run holds a link, {name}: put a copy of what it leads to in its place.")
    return run


def run_id(name: str) -> str:
    """The id of a run, from the name of its folder: 12 hexadecimal digits."""
    return hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()[:_ID_DIGITS]


def require_name(name: str) -> str:
    """The name of a new folder, where it is one that every file system takes.

    Raises:
        UnnoiseError: for any other.
    """
    allowed = (
        name and len(name) <= 60 and all(c.isalnum() or c in "-_ ." for c in name) and name.strip() == name
    )
    if not allowed or name[0] in ".-" or name[-1] == "." or is_device_name(name):
        raise UnnoiseError(
            f"{name[:80]!r} cannot be a name: take letters, digits, spaces, - and _, up to 60 of them."
        )
    return name


def is_device_name(name: str) -> bool:
    """Whether Windows takes a name for a device, whatever its suffix."""
    return name.split(".")[0].strip().lower() in _RESERVED


_RESERVED = {"con", "prn", "aux", "nul", *(f"{kind}{n}" for kind in ("com", "lpt") for n in range(1, 10))}
"""Names of devices on Windows."""
