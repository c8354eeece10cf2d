"""Names of uploaded files: made safe for every file system, or refused."""

import itertools
import os
import secrets
import unicodedata
from pathlib import Path

from unnoise.app.errors import RequestError
from unnoise.app.judging import SUFFIXES
from unnoise.app.workspace import is_device_name

_LONGEST_STEM = 100
"""Bytes of a name without its suffix; a number may follow."""
_LONGEST = 255
_ODD = frozenset('<>:"|?*')
_TRIED = 100


def safe_name(name: object) -> str:
    """A file name that every file system takes, close to the one that a browser sent.

    Raises:
        RequestError: for a path, a name of a device, control characters, a name of over 255 bytes, and a suffix
            that is not among those of pictures and arrays.
    """
    if not isinstance(name, str):
        raise RequestError("A file needs a name.")
    if len(name.encode("utf-8", "surrogatepass")) > _LONGEST:
        raise RequestError("The name of the file is longer than 255 bytes: rename it.")
    if any(character in "/\\" or unicodedata.category(character) in {"Cc", "Cs"} for character in name):
        raise RequestError(f"{name[:80]!a} is no file name: it may hold no slash and no control character.")
    name = "".join(character for character in name if unicodedata.category(character)[0] != "C")
    stem, suffix = os.path.splitext(unicodedata.normalize("NFC", name))  # noqa: PTH122 - a text, not yet a path
    if suffix.lower() not in SUFFIXES:
        kinds = ", ".join(sorted(SUFFIXES))
        raise RequestError(f"{name[:80]!r} is no picture, zip or array: upload files of the kinds {kinds}.")
    stem = "".join("_" if character in _ODD else character for character in stem).strip(" .")
    stem = stem.encode()[:_LONGEST_STEM].decode(errors="ignore").strip(" .") or "picture"
    if is_device_name(stem):
        raise RequestError(f"{name[:80]!r} is the name of a device on Windows: rename the file.")
    return stem + suffix.lower()


def put_in_place(file: Path, folder: Path, name: str) -> Path:
    """Moves a file into a folder, under a name with a number where another has it; nothing is overwritten."""
    stem, suffix = Path(name).stem, Path(name).suffix
    numbered = (f"{stem} ({number}){suffix}" for number in range(2, _TRIED))
    drawn = (f"{stem} {secrets.token_hex(4)}{suffix}" for _ in itertools.count())
    for one in itertools.chain([name], numbered, drawn):
        place = folder / one
        try:
            # The name is taken first: to rename a file overwrites what is there.
            os.close(os.open(place, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        except FileExistsError:
            continue
        return file.replace(place)
    raise AssertionError("the names do not end")
