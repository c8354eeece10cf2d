"""A file appears whole or not at all: it is written under a temporary name, flushed, and then renamed."""

import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

from unnoise.utils.errors import UnnoiseError

_TEMPORARY = re.compile(r"\.([0-9a-f]{12}(\.\w+)?|tmp\w{6})")

PathLike: TypeAlias = str | os.PathLike[str]


class WriteError(UnnoiseError):
    """The operating system refuses to write somewhere, for want of room say."""


@contextmanager
def writable(path: PathLike) -> Iterator[Path]:
    """Lends a temporary path beside `path`, of the same suffix; at the end of the block it becomes `path`.

    The parent folders are created. Whatever is raised inside the block removes the temporary file and leaves
    an older `path` as it was.

    Raises:
        WriteError: the operating system refuses to write there.
    """
    target = Path(path)
    # Not tempfile.mkstemp: its files are readable by their owner alone, and so would the picture be.
    temporary = target.parent / f".{secrets.token_hex(6)}{target.suffix}"
    try:
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
        raise _refused(target, error) from error


def sweep(folder: Path) -> None:
    """Removes what a process left that was killed while it wrote into this folder, ours or safetensors'."""
    for left in folder.glob(".*"):
        if _TEMPORARY.fullmatch(left.name):
            left.unlink(missing_ok=True)


def _flush_folder(folder: Path) -> None:
    """Makes the new name last: until then a power cut may bring the old file back, or none."""
    if os.name == "nt":  # where folders can't be opened, and names are flushed with their files
        return
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def _refused(target: Path, error: OSError) -> WriteError:
    return WriteError(
        f"A file is written where its folder allows it, but {str(target)!r} refuses "
        f"({error.strerror or error}): choose another path, or make room there."
    )


def check_writable(path: PathLike) -> None:
    """Fails now, rather than after long work, where `path` can't be written; leaves nothing behind.

    Raises:
        WriteError: the operating system refuses to write there.
    """
    target = Path(path)
    made = [folder for folder in target.parents if not folder.exists()]
    probe = target.parent / f".{secrets.token_hex(6)}"
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
        if target.is_dir():
            raise IsADirectoryError(0, "it is a folder")
        for folder in made:
            folder.rmdir()
    except OSError as error:
        raise _refused(target, error) from error
