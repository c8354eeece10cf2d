"""A few bytes may unpack to more than any disk holds: what shrinks as no picture does is left packed."""

import zipfile

MOST_TIMES = 100
"""By which pictures shrink; those of few colours a little more, but they are small."""
LARGE_PICTURE = 16 * 2**20
LARGE_ARRAY = 2**30


def require_sane(unpacked: int, packed: int, large: int) -> None:
    """Raises ValueError for what is larger than `large` bytes, and 100 times larger than it is packed."""
    most = max(large, MOST_TIMES * packed)
    if unpacked > most:
        raise ValueError(f"it unpacks from {packed:,} bytes to more than {most:,}, as no pictures do")


def require_sane_member(info: zipfile.ZipInfo, large: int) -> None:
    """The same of a member of a zip, by what it says of itself; zipfile unpacks no more than that."""
    if info.flag_bits & 1:
        raise ValueError("it has a password: zip it without")
    if info.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
        # Of the others zipfile unpacks a whole piece at once, and 50 bytes may become 46 MB.
        raise ValueError("it is neither stored nor deflated: zip it in the usual way")
    require_sane(info.file_size, info.compress_size, large)
