"""Formats of picture files: their suffixes, and which of Pillow's readers a file is for."""

import struct
from collections import Counter
from importlib.util import find_spec
from io import BufferedReader, BytesIO

from PIL import Image

HEIC_SUFFIXES = frozenset({".heic", ".heif", ".hif"})
_PILLOW_SUFFIXES = frozenset(
    {".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".webp", ".bmp", ".tif", ".tiff", ".gif"}
    | {".avif", ".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx", ".tga", ".ico", ".qoi"}
    | {".ppm", ".pgm", ".pbm", ".pnm", ".pfm"}
)
# Named one by one: left to itself, Pillow would also try formats that start other programs (EPS).
_BY_SIGNATURE = ("PNG", "JPEG", "WEBP", "TIFF", "GIF", "BMP", "JPEG2000", "AVIF", "QOI", "PPM", "ICO")
_PNG, _JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"
_HEIC_REMEDY = "pip install 'unnoise[heic]'"
_REMEDIES = (
    (HEIC_SUFFIXES, f"to read them, run {_HEIC_REMEDY}"),
    (
        frozenset({".dng", ".cr2", ".cr3", ".nef", ".arw", ".raf", ".orf", ".rw2"}),
        "raw photographs: develop them to .tif or .jpg",
    ),
    (frozenset({".jxl", ".psd", ".svg", ".eps", ".pdf", ".exr", ".hdr"}), "save them as .png or .tif"),
    (frozenset({".npy", ".npz"}), "an array is opened by the name of its own file"),
)
_KINDS_NAMED = 8
_AVIF_BRANDS = frozenset({b"avif", b"avis"})
_HEIF_BRANDS = frozenset(
    {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"}
)
_LARGEST_ICON = 2**24
"""Pixels of an icon, which Pillow unpacks when it is opened."""


class MissingReaderError(Exception):
    """A package that reads this format is not installed; the text says which."""


def has_heic() -> bool:
    """Whether pillow-heif is installed."""
    return find_spec("pillow_heif") is not None


def picture_suffixes() -> frozenset[str]:
    """Suffixes of the files that are taken for pictures, in lower case with their dot."""
    return _PILLOW_SUFFIXES | HEIC_SUFFIXES if has_heic() else _PILLOW_SUFFIXES


def left_out_text(taken: int, ignored: Counter[str], unreadable: Counter[str]) -> str:
    """A sentence on the files of a source that were not taken, counted by suffix; empty if there are none.

    Args:
        taken: the number of pictures.
        ignored: files of other kinds.
        unreadable: pictures that could not be read.
    """
    parts = [f"took {taken:,} {'picture' if taken == 1 else 'pictures'}"]
    parts += [f"left out {suffixes_text(ignored)}"] if ignored else []
    parts += [f"could not read {suffixes_text(unreadable)}"] if unreadable else []
    text = "; ".join(parts)
    return f"{text[0].upper()}{text[1:]}." if len(parts) > 1 else ""


def suffixes_text(counts: Counter[str]) -> str:
    """`50 .heic (to read them, ...), 1 .txt`: most first, with what can be done about them."""
    kinds = sorted(counts.items(), key=lambda kind: (-kind[1], kind[0]))
    named = [f"{number:,} {suffix or 'without suffix'}{_remedy(suffix)}" for suffix, number in kinds]
    if len(named) > _KINDS_NAMED:
        rest = sum(number for _, number in kinds[_KINDS_NAMED - 1 :])
        named = [*named[: _KINDS_NAMED - 1], f"{rest:,} of other kinds"]
    return ", ".join(named)


def _remedy(suffix: str) -> str:
    found = next((f" ({remedy})" for suffixes, remedy in _REMEDIES if suffix in suffixes), "")
    return "" if suffix in picture_suffixes() else found


def formats_of(start: bytes, file: BytesIO | BufferedReader) -> tuple[str, ...]:
    """The readers of Pillow that may know a file, by its first 64 bytes; the file is left at its beginning.

    Raises:
        MissingReaderError: for HEIC without pillow-heif.
        ValueError: for an icon that is far too large.
    """
    if start.startswith(_PNG):
        return ("PNG",)
    if start.startswith(_JPEG):
        return ("JPEG",)
    if start[4:8] == b"ftyp" and start[8:12] in _HEIF_BRANDS:
        length = min(int.from_bytes(start[:4], "big"), len(start))
        brands = {start[place : place + 4] for place in range(16, length - 3, 4)}
        if not brands & _AVIF_BRANDS:
            _register_heif()
            return ("HEIF",)
    if start[:4] == b"\0\0\1\0":
        _require_small_icons(file)
    return (*_BY_SIGNATURE, "TGA") if _is_tga(start) else _BY_SIGNATURE


def _is_tga(start: bytes) -> bool:
    """Whether this is a header of TGA, which has no signature."""
    if len(start) < 18:
        return False
    _, has_map, kind, _, _, map_bits, _, _, width, height, bits, _ = struct.unpack("<BBBHHBHHHHBB", start[:18])
    if kind in {1, 9}:
        known = has_map == 1 and map_bits in {15, 16, 24, 32} and bits == 8
    else:
        known = has_map in {0, 1} and kind in {2, 3, 10, 11} and bits in {1, 8, 15, 16, 24, 32}
    return known and width > 0 and height > 0


def _register_heif() -> None:
    if not has_heic():
        raise MissingReaderError(f"it is a HEIC picture: run {_HEIC_REMEDY} to read it")
    if "HEIF" not in Image.OPEN:
        import pillow_heif  # here, as it is optional

        pillow_heif.register_heif_opener()


def _require_small_icons(file: BytesIO | BufferedReader) -> None:
    """Raises ValueError if an icon states a size that no icon has."""
    data = file.read(6 + 16 * 256)
    count = int.from_bytes(data[4:6], "little")
    for place in range(6, min(len(data) - 15, 6 + 16 * count), 16):
        file.seek(int.from_bytes(data[place + 12 : place + 16], "little"))
        head = file.read(24)
        if head.startswith(b"\x89PNG"):
            width, height = int.from_bytes(head[16:20], "big"), int.from_bytes(head[20:24], "big")
        else:
            width, height = (int.from_bytes(head[at : at + 4], "little") for at in (4, 8))
        if width * height > _LARGEST_ICON:
            raise ValueError(f"it has an icon of {width:,} x {height:,} pixels, far more than icons have")
    file.seek(0)
