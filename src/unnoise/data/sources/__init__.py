"""Sources of pictures: folders, zip files, array files, and data sets known by name."""

import os
import re
from pathlib import Path

from unnoise.data.decoding.formats import HEIC_SUFFIXES, picture_suffixes
from unnoise.data.progress import Progress
from unnoise.data.sources.array_source import array_file_source
from unnoise.data.sources.listing import FolderListing, ZipListing
from unnoise.data.sources.named import DIGITS, FASHION, digits, fashion_mnist
from unnoise.data.sources.picture_files import FileSource
from unnoise.data.sources.source import Source
from unnoise.utils.errors import UnnoiseError
from unnoise.utils.pickles import PICKLE_SUFFIXES, PICKLES_REFUSED, pickle_kind

__all__ = ["Source", "absolute_source", "find_source"]

_IDX_MARK = "-images-idx3-ubyte"
_ARRAY_SUFFIXES = frozenset({".npy", ".npz", ".idx", ".gz"})

_URL = re.compile(r"[a-z][a-z0-9+.-]+:/{1,2}\w", re.IGNORECASE)
_ARCHIVES = (
    *(".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".tar.zst"),
    *(".7z", ".rar", ".bz2", ".xz", ".zst", ".lz4", ".cab", ".iso", ".dmg"),
)
_UNPACK = "Unpack it, and name the folder that it makes"
_EXPORT = "Save its pictures as files in a folder, or as an array with np.save, and name that"
_TAKE_FRAMES = "Save its frames as files first, for example with ffmpeg -i VIDEO frames/%06d.png"
_OTHER_KINDS = (
    (
        (".parquet", ".arrow", ".feather", ".tfrecord", ".tfrecords", ".lmdb", ".mdb"),
        "a table of records",
        _EXPORT,
    ),
    ((".h5", ".hdf5", ".mat", ".nc", ".zarr", ".nii", ".dcm"), "an array of another kind", _EXPORT),
    ((".csv", ".tsv", ".txt", ".json", ".jsonl"), "a list", "Name the folder of the pictures that it lists"),
    ((".mp4", ".mov", ".avi", ".mkv", ".webm"), "a video", _TAKE_FRAMES),
    ((".pdf", ".svg", ".psd", ".ai", ".eps"), "a document", "Save its pictures as PNG into a folder"),
)
"""Suffixes that people try, what they are, and what to do."""


def find_source(
    source: str | Path, cache: Path, *, layout: str | None = None, progress: Progress = False
) -> Source:
    """Opens a folder, .zip, array file or data set known by name; raises UnnoiseError for anything else.

    The strings `digits` and `fashion-mnist` win over folders of that name, which `./digits` reaches; a
    `Path` is always a path. `cache` is the folder that `fashion-mnist` may be downloaded into.
    `layout` has a letter for each axis of an array, such as NCHW, and means nothing to other sources.
    """
    if source == DIGITS:
        return digits()
    if source == FASHION:
        return fashion_mnist(cache, progress=progress)
    path = Path(source).expanduser()
    if path.is_dir():
        return _folder(str(source), path)
    if _URL.match(str(source)):
        raise _not_a_source(str(source), "it is an address on the web", "Download it first, and name the file")
    if not _exists(str(source), path):
        raise _not_a_source(str(source), "there is no such file or folder", _missing_remedy(path))
    return _file(str(source), path, layout)


def absolute_source(source: str) -> str:
    """The source as it is found from every folder: an absolute path, or the name of a known data set."""
    return source if source in {DIGITS, FASHION} else str(Path(source).expanduser().absolute())


def _folder(source: str, path: Path) -> Source:
    listing = FolderListing(path)
    idx = sorted(name for name in listing.other_names if _IDX_MARK in name.rpartition("/")[2])
    if listing.entries or not idx:
        return FileSource(source, listing)
    training = [name for name in idx if name.rpartition("/")[2].startswith("train")]
    return array_file_source(source, path / (training or idx)[0])


def _file(source: str, path: Path, layout: str | None) -> Source:
    if not path.is_file():
        # Reading a pipe may never end.
        raise _not_a_source(source, "it is a pipe or a device", "Save the pictures to a file first")
    if not os.access(path, os.R_OK):
        raise _not_a_source(source, "permission denied", "Change its permissions, or copy it elsewhere")
    suffix = path.suffix.lower()
    if path.name.lower().endswith(_ARCHIVES):  # here, since .gz alone is an IDX file
        raise _not_a_source(source, "it is an archive of another kind than .zip", _UNPACK)
    if suffix == ".zip":
        return FileSource(source, ZipListing(path))
    if suffix in _ARRAY_SUFFIXES or "ubyte" in path.name:
        return array_file_source(source, path, layout=layout)
    if suffix in picture_suffixes() | HEIC_SUFFIXES:
        remedy = "Put it into a folder together with others, and name the folder"
        raise _not_a_source(source, "it is a single picture", remedy)
    if suffix in PICKLE_SUFFIXES or pickle_kind(path):
        raise _not_a_source(source, PICKLES_REFUSED, "Save pictures as .png, or an array as .npy")
    for suffixes, kind, remedy in _OTHER_KINDS:
        if path.name.lower().endswith(suffixes):
            raise _not_a_source(source, f"it is {kind}", remedy)
    kinds = f"a folder or .zip of pictures, a .npy, .npz or IDX file, '{DIGITS}' or '{FASHION}'"
    raise _not_a_source(source, "it is a file of another kind", f"Name {kinds}")


def _exists(source: str, path: Path) -> bool:
    """Whether there is something; raises UnnoiseError where the way there is barred."""
    try:
        path.stat()
    except PermissionError:
        raise _not_a_source(source, "permission denied", "Change the permissions of its folders") from None
    except (OSError, ValueError):
        return False
    return True


def _missing_remedy(path: Path) -> str:
    if set(path.name) & set("*?["):
        return f"Name the folder that holds the pictures: {str(path.parent)!r}"
    return "Check the spelling"


def _not_a_source(source: str, reason: str, remedy: str) -> UnnoiseError:
    return UnnoiseError(f"Cannot read pictures from {source!r}: {reason}. {remedy}.")
