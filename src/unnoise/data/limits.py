"""Limits on what is read: sizes of files and pictures, growth on unpacking, and memory used at once."""

import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager

LARGEST_FILE = 512 * 2**20
"""Bytes of one picture file."""
LARGEST_PIXELS = 100_000_000
"""Pixels of one picture, and of all that are decoded at once: some 2 GB. A file of 200 kB can hold so many."""
LARGEST_SIDE = 4096
"""Pixels of a side after resizing."""

LARGEST_RATIO = 100
"""Unpacked over packed bytes. Pictures of few colours may shrink a little more, but those are small."""
LARGE_PICTURE = 16 * 2**20
LARGE_ARRAY = 2**30
"""Bytes up to which any ratio is accepted."""


def require_plausible_size(unpacked: int, packed: int, large: int) -> None:
    """Refuses decompression bombs.

    Raises:
        ValueError: when the content takes more than `large` bytes and over 100 times its packed size.
    """
    most = max(large, LARGEST_RATIO * packed)
    if unpacked > most:
        raise ValueError(f"it unpacks from {packed:,} bytes to over {most:,}, far more than pictures do")


def require_plausible_member(info: zipfile.ZipInfo, large: int) -> None:
    """Refuses a member of a zip file that is a decompression bomb, encrypted or packed in an unusual way.

    The size is the one that the zip states; zipfile never unpacks more than that.

    Raises:
        ValueError: with the reason.
    """
    if info.flag_bits & 1:
        raise ValueError("it has a password: zip it without one")
    if info.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
        # zipfile unpacks a whole block of the other methods at once, and 50 bytes may become 46 MB.
        raise ValueError("it is neither stored nor deflated: zip it with the default method")
    require_plausible_size(info.file_size, info.compress_size, large)


class Quota:
    """An amount of memory that threads share: one that needs more than is left waits for the others.

    Args:
        total: how much may be in use at once.
    """

    def __init__(self, total: int) -> None:
        self.total = total
        self.used = 0
        self._changed = threading.Condition()

    @contextmanager
    def reserve(self, amount: int) -> Iterator[None]:
        """Takes this much, or the whole quota if the amount is larger, and gives it back afterwards."""
        share = min(max(amount, 0), self.total)
        with self._changed:
            self._changed.wait_for(lambda: self.used + share <= self.total)
            self.used += share
        try:
            yield
        finally:
            with self._changed:
                self.used -= share
                self._changed.notify_all()
