"""Pillow reads through a guard, so that what stands beside the pixels can't be multiplied.

A TIFF of 1 MB may name the same megabyte as the content of 60,000 tags, each of which would be copied; so may
the EXIF of a JPEG, and the remarks of a GIF are joined one to another in quadratic time.
"""

from io import BufferedReader, BytesIO

from PIL import Image

_EXIF_SEEN = 4 * 2**10
"""Of EXIF so many bytes are looked at: the orientation stands near its beginning; the rest becomes zeros."""
_LONGEST_EXIF = 64 * 2**10
"""As a segment of a JPEG has it."""
_LONGEST_REMARKS = 2 * 2**20
_TIMES = 4
_MORE = 2**20


class TooMuchReadError(Exception):
    """More was read than a sound file would need; no OSError, for some of those Pillow keeps to itself."""


class Guarded:
    """An open file that may be read four times over, and of whose EXIF no more than 4 kB is seen.

    Args:
        file: at its beginning or elsewhere.
    """

    def __init__(self, file: BytesIO | BufferedReader) -> None:
        self._file = file
        self._left = _TIMES * file.seek(0, 2) + _MORE
        file.seek(0)
        start = file.read(3)
        file.seek(0)
        self._jpeg, self._gif = start == b"\xff\xd8\xff", start == b"GIF"
        self._exif_seen = False
        self._remarks = _LONGEST_REMARKS
        self.opening = True

    def read(self, size: int = -1, /) -> bytes:
        """The next bytes; raises TooMuchReadError."""
        data = self._file.read(size)
        self._left -= len(data)
        if self.opening and self._gif:
            self._remarks -= len(data)
        if min(self._left, self._remarks) < 0:
            raise TooMuchReadError("it has far more beside its pixels than a picture has: save it anew")
        return self._tamed(data) if self.opening and self._jpeg else data

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """As of the file."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """As of the file."""
        return self._file.tell()

    def _tamed(self, segment: bytes) -> bytes:
        """A segment of a JPEG as it is, but for long lists of tags, and all EXIF but the first."""
        if not segment.startswith((b"Exif\0\0", b"MPF\0")):
            return segment
        again = self._exif_seen
        self._exif_seen |= segment.startswith(b"Exif")
        return (b"" if again else segment[:_EXIF_SEEN]).ljust(len(segment), b"\0")


def orientation_of(picture: Image.Image) -> int:
    """From 1 to 8, as EXIF has it; 1 where nothing is said, or nothing that can be understood."""
    known = picture.info
    try:
        if "exif" not in known and "Raw profile type exif" in known:
            known["exif"] = bytes.fromhex("".join(known["Raw profile type exif"].split("\n")[3:]))
        if "exif" in known:
            length = min(len(known["exif"]), _LONGEST_EXIF)
            known["exif"] = known["exif"][:_EXIF_SEEN].ljust(length, b"\0")
        # A PNG's own getexif would decode all pixels, for what may stand behind them.
        value = Image.Image.getexif(picture).get(0x0112, 1)
    except Exception:  # noqa: BLE001 - broken metadata is no reason to lose a sound picture
        return 1
    return value if isinstance(value, int) else 1
