"""What one step frees, the next one takes again: between the two the memory stays with the process.

After a step glibc gives its memory back to Linux, which hands it out again page by page, filled with zeros:
that takes a twentieth to a tenth of a step on a CPU. This asks it to keep what it has, so that a process stays
as large as it was at its largest. It changes where numbers lie, and none of them.
"""

import ctypes
import sys

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h
_NEVER = -1
_SIZES = (2**30, 2**25)
"""Below this a block is part of the heap that is kept: 1 GiB, or the 32 MiB that older versions allow."""


def keep() -> bool:
    """Has this process keep its memory from now on; returns whether it can be asked to (glibc)."""
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):  # another C library
        return False
    trims = mallopt(_TRIM_THRESHOLD, _NEVER)
    return bool(trims and any(mallopt(_MMAP_THRESHOLD, size) for size in _SIZES))
