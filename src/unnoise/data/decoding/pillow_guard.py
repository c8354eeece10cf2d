"""Guards around Pillow: bounded metadata, no warnings, and memory that is given back."""

import threading
import warnings
from io import BufferedReader, BytesIO
from types import TracebackType

from PIL import Image
from PIL.Image import core  # type: ignore[attr-defined]

_EXIF_SEEN = 4 * 2**10
"""Bytes of EXIF that Pillow sees: the orientation stands near the beginning. The rest becomes zeros."""
_LONGEST_EXIF = 64 * 2**10
"""Bytes of EXIF in one segment of a JPEG."""
_LONGEST_COMMENTS = 2 * 2**20
_REREADS = 4
_MARGIN = 2**20
_BLOCK = 64 * 2**20


class TooMuchReadError(Exception):
    """More was read than a valid file needs; not an OSError, since Pillow swallows some of those."""


class GuardedFile:
    """An open picture file that Pillow may read four times over, with at most 4 kB of its EXIF.

    A TIFF of 1 MB may name the same megabyte as the content of 60,000 tags, each of which Pillow would copy; so
    may the EXIF of a JPEG, and Pillow joins the comments of a GIF in quadratic time.
    """

    def __init__(self, file: BytesIO | BufferedReader) -> None:
        self._file = file
        self._bytes_left = _REREADS * file.seek(0, 2) + _MARGIN
        file.seek(0)
        self.start = file.read(64)
        """The first bytes of the file, by which its format is known."""
        file.seek(0)
        self._is_jpeg, self._is_gif = self.start.startswith(b"\xff\xd8\xff"), self.start.startswith(b"GIF")
        self._exif_seen = False
        self._comment_bytes_left = _LONGEST_COMMENTS
        self.opening = True
        """Whether Pillow is still reading what stands before the pixels."""

    def read(self, size: int = -1, /) -> bytes:
        """The next bytes; raises TooMuchReadError."""
        data = self._file.read(size)
        self._bytes_left -= len(data)
        if self.opening and self._is_gif:
            self._comment_bytes_left -= len(data)
        if min(self._bytes_left, self._comment_bytes_left) < 0:
            raise TooMuchReadError("it has far more metadata than a picture needs: save it again without")
        return self._without_long_metadata(data) if self.opening and self._is_jpeg else data

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Same as of the file."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """Same as of the file."""
        return self._file.tell()

    def _without_long_metadata(self, segment: bytes) -> bytes:
        """A segment of a JPEG, with zeros in place of MPF tags, repeated EXIF, and EXIF beyond 4 kB."""
        if not segment.startswith((b"Exif\0\0", b"MPF\0")):
            return segment
        again = self._exif_seen
        self._exif_seen |= segment.startswith(b"Exif")
        return (b"" if again else segment[:_EXIF_SEEN]).ljust(len(segment), b"\0")


def exif_orientation(picture: Image.Image) -> int:
    """The orientation from 1 to 8, as in EXIF; 1 where it is missing or damaged."""
    known = picture.info
    try:
        if "exif" not in known and "Raw profile type exif" in known:
            known["exif"] = bytes.fromhex("".join(known["Raw profile type exif"].split("\n")[3:]))
        if "exif" in known:
            length = min(len(known["exif"]), _LONGEST_EXIF)
            known["exif"] = known["exif"][:_EXIF_SEEN].ljust(length, b"\0")
        # PngImageFile.getexif would decode all pixels to find what may stand behind them.
        value = Image.Image.getexif(picture).get(0x0112, 1)
    except Exception:  # noqa: BLE001 - a picture with broken metadata is still a picture
        return 1
    return value if isinstance(value, int) else 1


class _QuietPillow:
    """Silences Pillow's warnings, and enlarges its blocks of memory, while at least one caller is inside.

    Pictures that Pillow finds large or odd are either read or reported as skipped, so its warnings add
    nothing. `warnings.catch_warnings` swaps a list that all threads share: entered by two threads by turns
    it would restore the wrong one. Hence one catcher, and a count of those inside.

    Pillow's blocks of 16 MB are below what the C library gives back to the system at once: each thread would
    keep those of a large picture for itself, and 16 threads 1.4 GB rather than 0.4.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._catcher: warnings.catch_warnings[None] | None = None
        self._block = 0

    def __enter__(self) -> None:
        with self._lock:
            self._inside += 1
            if self._inside == 1:
                self._catcher = warnings.catch_warnings()
                self._catcher.__enter__()
                warnings.filterwarnings("ignore", module=r"PIL\.")
                self._block = core.get_block_size()
                core.set_block_size(_BLOCK)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0 and self._catcher is not None:
                core.set_block_size(self._block)
                self._catcher.__exit__(None, None, None)
                self._catcher = None


quiet_pillow = _QuietPillow()
"""`with quiet_pillow:` goes around everything that opens pictures, in the thread that starts the others."""
