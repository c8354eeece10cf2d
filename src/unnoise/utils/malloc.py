"""Settings of glibc's malloc that keep freed memory inside the process.

By default glibc returns freed memory to Linux after a training step, and Linux fills it with zeros page by page
before it hands it out again: a twentieth to a tenth of a step on a CPU. With these settings the process keeps
what it has freed, and stays as large as it was at its largest. No computed number changes.
"""

import ctypes
import sys

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # the names' values in glibc's malloc.h
_NEVER = -1
_HEAP_BLOCK_SIZES = (2**30, 2**25)
"""Blocks up to this size stay on the heap: 1 GiB, or the 32 MiB that older versions of glibc allow."""


def keep_freed_memory() -> bool:
    """Makes this process keep the memory that it frees; returns whether its C library (glibc) can do so."""
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):  # another C library
        return False
    trims = mallopt(_TRIM_THRESHOLD, _NEVER)
    return bool(trims and any(mallopt(_MMAP_THRESHOLD, size) for size in _HEAP_BLOCK_SIZES))


def give_back_freed_memory() -> bool:
    """Gives freed memory back to the system; returns whether the C library (glibc) can do so and found any."""
    if not sys.platform.startswith("linux"):
        return False
    try:
        return bool(ctypes.CDLL(None).malloc_trim(0))
    except (AttributeError, OSError):  # another C library
        return False
