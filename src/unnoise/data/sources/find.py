"""One word says where pictures come from: a known name, a folder, a zip, or a file of numbers."""

from pathlib import Path

from unnoise.data.sources.array_origin import array_file
from unnoise.data.sources.image_files import PictureFiles
from unnoise.data.sources.listing import SUFFIXES, FolderListing, ZipListing
from unnoise.data.sources.named import DIGITS, FASHION, digits, fashion_mnist
from unnoise.data.sources.origin import Origin
from unnoise.utils.errors import UnnoiseError
from unnoise.utils.pickles import NEVER, PICKLES, pickle_in

_IDX_MARK = "-images-idx3-ubyte"
_ARRAY_SUFFIXES = frozenset({".npy", ".npz", ".idx", ".gz"})


def find(source: str | Path, cache: Path, *, progress: bool = False) -> Origin:
    """Finds what `source` names; raises UnnoiseError where it names nothing that can be read.

    The strings `digits` and `fashion-mnist` win over folders of that name, which `./digits` reaches; a
    `Path` is always a path.
    """
    if source == DIGITS:
        return digits()
    if source == FASHION:
        return fashion_mnist(cache, progress=progress)
    path = Path(source).expanduser()
    if path.is_dir():
        return _folder(str(source), path)
    if not path.exists():
        raise _unknown(str(source), "there is no such file or folder")
    return _file(str(source), path)


def _folder(source: str, path: Path) -> Origin:
    listing = FolderListing(path)
    idx = sorted(name for name in listing.other_names if _IDX_MARK in name.rpartition("/")[2])
    if listing.entries or not idx:
        return PictureFiles(source, listing)
    training = [name for name in idx if name.rpartition("/")[2].startswith("train")]
    return array_file(source, path / (training or idx)[0])


def _file(source: str, path: Path) -> Origin:
    if not path.is_file():
        raise _unknown(source, "it is a pipe or a device")  # which might be waited for without end
    suffix = path.suffix.lower()
    if suffix == ".zip":
        return PictureFiles(source, ZipListing(path))
    if suffix in _ARRAY_SUFFIXES or "ubyte" in path.name:
        return array_file(source, path)
    if suffix in SUFFIXES:
        raise UnnoiseError(
            f"A data set needs many pictures, but {source!r} is a single one: put it with others into a "
            f"folder and name the folder."
        )
    if suffix in PICKLES or pickle_in(path):
        raise _unknown(source, NEVER, "save pictures as .png, or an array as .npy")
    raise _unknown(source, "it is a file of another kind")


def _unknown(source: str, reason: str, remedy: str = "check the spelling") -> UnnoiseError:
    return UnnoiseError(
        f"A source is a folder or .zip of pictures, a .npy, .npz or IDX file, '{DIGITS}' or '{FASHION}', but "
        f"{source!r} is none of these ({reason}): {remedy}."
    )
