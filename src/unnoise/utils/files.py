"""Atomic writing of files: a file appears whole or not at all."""

import errno
import json
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

from unnoise.utils.errors import UnnoiseError, require

_TEMPORARY = re.compile(r"\.([0-9a-f]{12}(\.\w+)?|tmp\w{6})")

PathLike: TypeAlias = str | os.PathLike[str]


class WriteError(UnnoiseError):
    """A file that the operating system refuses to write, for example because the disk is full."""


@contextmanager
def atomic_write(path: PathLike) -> Iterator[Path]:
    """Context manager that yields a temporary path beside `path`; at the end of the block it becomes `path`.

    The temporary file has the suffix of `path`; missing parent folders are created. Links are followed: a link
    stays, and what it points to is written. An exception inside the block removes the temporary file and leaves
    an older `path` as it was.

    Raises:
        WriteError: the operating system refuses to write there.
    """
    try:
        target = _behind_links(path)
        # Not tempfile.mkstemp: only the owner may read its files, and so it would be with the finished one.
        temporary = target.parent / f".{secrets.token_hex(6)}{Path(path).suffix}"
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
            with temporary.open("rb+") as written:
                os.fsync(written.fileno())
            temporary.replace(target)
            _flush_folder(target.parent)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise _refused(Path(path), error) from error


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Context manager that yields a temporary folder beside `path`; at the end of the block it becomes `path`.

    Where the block or the system fails, nothing is left of it.

    Raises:
        WriteError: the operating system refuses to write there.
    """
    temporary = path.absolute().parent / f".{secrets.token_hex(6)}"
    try:
        temporary.mkdir(parents=True)
        yield temporary
        temporary.replace(path)
    except OSError as error:
        raise _refused(path, error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def require_new_folder(path: Path) -> None:
    """Checks before long work that there is nothing at `path`, and that a folder can be made there.

    Raises:
        UnnoiseError: for a file, or a folder that is not empty.
        WriteError: the operating system refuses to write there.
    """
    require(
        not path.exists() or (path.is_dir() and not any(path.iterdir())),
        f"{path} is there already. Choose a new folder with --out.",
    )
    check_writable(path / "file")


def _behind_links(path: PathLike) -> Path:
    """The path that is left when all links are followed, whether it exists or not; OSError for a loop."""
    target = Path(os.path.realpath(path))
    if target.is_symlink():
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
    return target


def is_run_folder(folder: Path) -> bool:
    """Whether a folder is a run of unnoise, not just one with a config.json of some other program."""
    file = folder / "config.json"
    if not file.is_file():
        return False
    try:
        config = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError):
        config = None
    if isinstance(config, dict):
        return not {"recipe", "format"}.isdisjoint(config)
    # Damaged: judge by what lies beside it.
    return (folder / "model.safetensors").exists() or any((folder / "training").glob("*.safetensors"))


def stamp(status: os.stat_result) -> str:
    """What changes when a file is replaced, even by one of the same size and time."""
    return f"{status.st_mtime_ns} {status.st_ctime_ns} {status.st_ino}"


def remove_temporary_files(folder: Path) -> None:
    """Removes temporary files, ours and safetensors', that a killed process left in this folder."""
    for left in folder.glob(".*"):
        if _TEMPORARY.fullmatch(left.name):
            left.unlink(missing_ok=True)


def _flush_folder(folder: Path) -> None:
    """Makes a rename survive a power cut, which could otherwise bring back the old file, or none."""
    if os.name == "nt":  # folders can't be opened there, and names are flushed with their files
        return
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def _refused(target: Path, error: OSError) -> WriteError:
    known = error.strerror
    reason = known[:1].lower() + known[1:] if known else str(error)
    return WriteError(f"Cannot write {target}: {reason}. Free some space or choose another path.")


def check_writable(path: PathLike) -> None:
    """Checks before long work that `path` can be written; leaves nothing behind.

    Raises:
        WriteError: the operating system refuses to write there.
    """
    try:
        target = _behind_links(path)
        made = [folder for folder in target.parents if not folder.exists()]
        probe = target.parent / f".{secrets.token_hex(6)}"
        target.parent.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
        if target.is_dir():
            raise IsADirectoryError(0, "it is a folder")
        for folder in made:
            folder.rmdir()
    except OSError as error:
        raise _refused(Path(path), error) from error


def require_suffix(path: PathLike, *suffixes: str) -> str:
    """The lower-case suffix of `path`; raises `UnnoiseError` unless it is one of `suffixes`."""
    suffix = Path(path).suffix.lower()
    name = str(Path(path).stem or "picture") + suffixes[0]
    require(
        suffix in suffixes,
        f"{str(path)!r} is not a name that ends in {' or '.join(suffixes)}. Call it {name!r}, for example.",
    )
    return suffix
