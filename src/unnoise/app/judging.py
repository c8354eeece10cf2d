"""Judging of uploads: whether a file is what its suffix says, and safe to read; nothing is unpacked."""

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path

from unnoise.app.errors import RequestError
from unnoise.data.decoding.array_files import read_array
from unnoise.data.decoding.decode import UnreadableError, read_header
from unnoise.data.decoding.formats import picture_suffixes
from unnoise.data.decoding.numpy_files import open_npz
from unnoise.data.decoding.pillow_guard import quiet_pillow
from unnoise.data.limits import LARGE_ARRAY, LARGE_PICTURE, require_plausible_member, require_plausible_size
from unnoise.utils.errors import UnnoiseError
from unnoise.utils.text import printable

PICTURES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".heic"})
ARCHIVES = frozenset({".zip", ".npy", ".npz"})
SUFFIXES = PICTURES | ARCHIVES
"""Suffixes of the files that can be uploaded."""
START = 16
"""Bytes by which a kind of file is known."""

_STARTS = {
    b"\x89PNG\r\n\x1a\n": {".png"},
    b"\xff\xd8\xff": {".jpg", ".jpeg"},
    b"BM": {".bmp"},
    b"GIF87a": {".gif"},
    b"GIF89a": {".gif"},
    b"II*\0": {".tif", ".tiff"},
    b"MM\0*": {".tif", ".tiff"},
    b"II+\0": {".tif", ".tiff"},
    b"MM\0+": {".tif", ".tiff"},
    b"PK\3\4": {".zip", ".npz"},
    b"\x93NUMPY": {".npy"},
}
_HEIC_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"})
_MOST_ENTRIES = 100_000
_LONGEST_DIRECTORY = 16 * 2**20
"""Bytes of the central directory of a zip, which Python reads into memory: 100,000 entries take some 13 MB."""
_IS_LINK, _KIND = 0o120000, 0o170000


def true_suffix(start: bytes, name: str) -> str:
    """The suffix that fits the first bytes of a file: its own, or that of another kind of picture.

    Args:
        start: its first bytes, at least `START` of them if it has so many.
        name: of the file.

    Raises:
        RequestError: for a file of another kind than its name says.
    """
    suffix = Path(name).suffix.lower()
    known = {one for magic, suffixes in _STARTS.items() if start.startswith(magic) for one in suffixes}
    if start[:4] == b"RIFF" and start[8:12] == b"WEBP":
        known = {".webp"}
    if start[4:8] == b"ftyp" and start[8:12] in _HEIC_BRANDS:
        known = {".heic"}
    if suffix in known:
        return suffix
    if suffix in PICTURES and known & PICTURES:
        return max(known & PICTURES, key=lambda one: (-len(one), one))
    raise RequestError(f"{name} is no {suffix} file, by its first bytes: save it again, or leave it out.")


def judge(path: Path, name: str) -> str:
    """Judges a file, and returns the suffix that it is to have.

    Args:
        path: of the file.
        name: under which a person knows it.

    Raises:
        RequestError: where it is not what its suffix says, or may not be read.
    """
    with _explained(path, name):
        with path.open("rb") as file:
            suffix = true_suffix(file.read(START), name)
        if suffix in PICTURES:
            _judge_picture(path)
        elif suffix == ".npy":
            read_array(path)  # which maps it
        elif suffix == ".npz":
            _judge_arrays(path)
        else:
            _judge_pictures(_members(path))
    return suffix


@contextmanager
def _explained(path: Path, name: str) -> Iterator[None]:
    """Turns errors inside the block into sentences with the name that a person knows, not the path."""
    try:
        yield
    except RequestError:
        raise
    except UnnoiseError as error:
        raise RequestError(str(error).replace(str(path), name)) from None
    except Exception as error:  # damaged or hostile bytes make readers raise almost anything
        reason = str(error).split("\n")[0].strip().rstrip(".") or type(error).__name__
        raise RequestError(f"{name} cannot be used: {reason}.") from error


def _judge_picture(path: Path) -> None:
    with path.open("rb") as file, quiet_pillow:
        try:
            read_header(file)
        except UnreadableError as error:
            raise ValueError(str(error)) from error


def _judge_arrays(path: Path) -> None:
    for member in _members(path):
        require_plausible_member(member, LARGE_ARRAY)
        if not member.filename.endswith(".npy"):
            raise ValueError(f"it holds {printable(member.filename)!r}, which is no array")
    with open_npz(path) as archive:
        for one in archive.names:
            archive.shape(one)  # which refuses pickled objects


def _judge_pictures(members: list[zipfile.ZipInfo]) -> None:
    suffixes = picture_suffixes()
    pictures = [member for member in members if Path(member.filename).suffix.lower() in suffixes]
    if not pictures:
        raise ValueError("there are no pictures in it")
    for member in pictures:
        require_plausible_member(member, LARGE_PICTURE)


def _members(path: Path) -> list[zipfile.ZipInfo]:
    """The files of a zip, from its central directory.

    Raises:
        ValueError: for too many of them, names that lead elsewhere, links, files that lie in one another, and
            more when unpacked than pictures and arrays have.
    """
    with path.open("rb") as file, zipfile.ZipFile(_BoundedReads(file)) as archive:
        members = archive.infolist()
    if len(members) > _MOST_ENTRIES:
        raise ValueError(f"it holds {len(members):,} files, over the limit of {_MOST_ENTRIES:,}")
    size = path.stat().st_size
    packed, unpacked = (sum(getattr(one, n) for one in members) for n in ("compress_size", "file_size"))
    if packed > size:
        raise ValueError("its files lie in one another")
    require_plausible_size(unpacked, packed, LARGE_ARRAY)
    for member in members:
        _require_plain_name(member)
    return [member for member in members if not member.is_dir()]


def _require_plain_name(member: zipfile.ZipInfo) -> None:
    name = member.orig_filename.replace("\\", "/")  # with what zipfile cuts off at a zero byte
    shown = printable(name[:80])
    if name.startswith("/") or name[1:2] == ":" or ".." in name.split("/") or "\0" in name:
        raise ValueError(f"it holds {shown!r}, a name that leads elsewhere")
    if (member.external_attr >> 16) & _KIND == _IS_LINK:
        raise ValueError(f"it holds the link {shown!r}: zip the files themselves")


class _BoundedReads:
    """An open zip file that cannot be read in one piece, lest its directory fill the memory."""

    def __init__(self, file: BufferedReader) -> None:
        self._file = file
        self.seek, self.tell, self.seekable, self.close = file.seek, file.tell, file.seekable, file.close

    def read(self, size: int = -1) -> bytes:
        """The next bytes; raises ValueError for too many at once."""
        data = self._file.read(_LONGEST_DIRECTORY + 1 if size < 0 else min(size, _LONGEST_DIRECTORY + 1))
        if len(data) > _LONGEST_DIRECTORY:
            raise ValueError("its list of files is far longer than those of pictures")
        return data
