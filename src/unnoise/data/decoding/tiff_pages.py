"""Pages of a TIFF or BigTIFF file: the tags of each (TIFF 6.0, section 2), and which page is the picture."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from io import BufferedReader, BytesIO
from itertools import islice
from typing import TypeAlias

File: TypeAlias = BytesIO | BufferedReader
Tags: TypeAlias = dict[int, tuple[int, ...]]
"""The numbers of each tag that matters here."""

WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC, ORIENTATION, SAMPLES = 256, 257, 258, 259, 262, 274, 277
PLANES, EXTRA, FORMAT, SUBSAMPLING, PROFILE = 284, 338, 339, 530, 34675
_SUBFILE, _OLD_SUBFILE, _SUB_PAGES = 254, 255, 330
_WANTED = frozenset(
    {WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC, ORIENTATION, SAMPLES, PLANES, EXTRA, FORMAT, SUBSAMPLING}
    | {PROFILE, _SUBFILE, _OLD_SUBFILE, _SUB_PAGES}
)
_KINDS = {1: "B", 3: "H", 4: "I", 7: "B", 13: "I", 16: "Q", 18: "Q"}
_MOST_TAGS = 4096
_MOST_PAGES = 64
_LONGEST_PROFILE = 8 * 2**20
_LONGEST = 16
PHOTOMETRICS = {
    0: "WhiteIsZero",
    1: "BlackIsZero",
    2: "RGB",
    3: "palette",
    5: "CMYK",
    6: "YCbCr",
    8: "CIELab",
    9: "ICCLab",
}
"""The photometric interpretations that can be read."""


@dataclass(frozen=True)
class _Layout:
    """How a file writes its numbers: the order of bytes, and 32-bit or, in a BigTIFF, 64-bit places."""

    order: str
    big: bool

    @property
    def first(self) -> int:
        """Where the place of the first page stands."""
        return 8 if self.big else 4

    @property
    def place(self) -> str:
        """Format of a place in the file."""
        return self.order + ("Q" if self.big else "I")


@dataclass(frozen=True)
class _Page:
    offset: int
    tags: Tags

    @property
    def size(self) -> tuple[int, int]:
        return self.tags.get(WIDTH, (0,))[0], self.tags.get(HEIGHT, (0,))[0]

    @property
    def area(self) -> int:
        return self.size[0] * self.size[1]

    @property
    def is_full(self) -> bool:
        """Whether it can be read, and is neither a reduced copy of another page nor the mask of one."""
        reduced = self.tags.get(_SUBFILE, (0,))[0] & 5 or self.tags.get(_OLD_SUBFILE, (1,))[0] == 2
        return self.tags.get(PHOTOMETRIC, (1,))[0] in PHOTOMETRICS and not reduced

    def is_thumbnail_of(self, other: "_Page") -> bool:
        """Whether the other is at least twice as large, of the same proportions."""
        (width, height), (larger_width, larger_height) = self.size, other.size
        across, down = larger_width / max(1, width), larger_height / max(1, height)
        return min(across, down) >= 2 and abs(across - down) <= 0.05 * max(across, down)


def first_tags(file: File) -> Tags | None:
    """The tags of the first page; None for a file that is not a TIFF. The file is left at its beginning."""
    try:
        layout = _layout(file)
        return None if layout is None else next(_chain(file, layout, set())).tags
    except (struct.error, ValueError, OSError, OverflowError, StopIteration):
        return None
    finally:
        file.seek(0)


def full_picture_first(file: File) -> File:
    """The same file, or a copy in which the full picture comes first where the first page is a thumbnail.

    A page is a thumbnail if it is marked as one (NewSubfileType), or if a later one is at least twice as large
    and has its proportions. The full picture is the largest page, or sub-page (SubIFDs), that is none.
    """
    try:
        layout = _layout(file)
        chosen = None if layout is None else _full_page(file, layout)
    except (struct.error, ValueError, OSError, OverflowError):
        layout = chosen = None
    file.seek(0)
    if layout is None or chosen is None:
        return file
    data = file.read()
    place = struct.pack(layout.place, chosen)
    return BytesIO(data[: layout.first] + place + data[layout.first + len(place) :])


def _full_page(file: File, layout: _Layout) -> int | None:
    """Where the full picture is; None if it is the first page."""
    seen: set[int] = set()
    pages = list(_chain(file, layout, seen))
    if not pages:
        return None
    for offset in pages[0].tags.get(_SUB_PAGES, ()):
        pages += islice(_chain(file, layout, seen, offset), 1)
    first, others = pages[0], [page for page in pages[1:] if page.is_full]
    if first.is_full:
        others = [page for page in others if first.is_thumbnail_of(page)]
    best = max(others, key=lambda page: page.area, default=None)
    return None if best is None or best.area <= first.area else best.offset


def _layout(file: File) -> _Layout | None:
    file.seek(0)
    head = file.read(4)
    order = {b"II": "<", b"MM": ">"}.get(head[:2])
    if order is None or len(head) < 4:
        return None
    version = struct.unpack(order + "H", head[2:])[0]
    return _Layout(order, version == 43) if version in {42, 43} else None


def _chain(file: File, layout: _Layout, seen: set[int], offset: int | None = None) -> Iterator[_Page]:
    """The pages from the one at `offset`, or the first; ends at damage, and at a page that was seen."""
    if offset is None:
        file.seek(layout.first)
        (offset,) = struct.unpack(layout.place, file.read(struct.calcsize(layout.place)))
    while offset and offset not in seen and len(seen) < _MOST_PAGES:
        seen.add(offset)
        file.seek(offset)
        counted = layout.order + ("Q" if layout.big else "H")
        try:
            (count,) = struct.unpack(counted, file.read(struct.calcsize(counted)))
            entries = file.read((20 if layout.big else 12) * min(count, _MOST_TAGS))
            follows = file.read(struct.calcsize(layout.place))
            page = _Page(offset, _tags(file, layout, entries))
        except (struct.error, OSError, OverflowError, ValueError):
            return
        yield page
        offset = struct.unpack(layout.place, follows)[0] if len(follows) == struct.calcsize(layout.place) else 0


def _tags(file: File, layout: _Layout, entries: bytes) -> Tags:
    head = layout.order + ("HHQ" if layout.big else "HHI")
    inside = struct.calcsize(layout.place)
    start = struct.calcsize(head)
    tags: Tags = {}
    for place in range(0, len(entries) - start - inside + 1, start + inside):
        tag, kind, length = struct.unpack_from(head, entries, place)
        if tag not in _WANTED or kind not in _KINDS:
            continue
        if not 1 <= length <= (_LONGEST_PROFILE if tag == PROFILE else _LONGEST):
            continue
        code = _KINDS[kind]
        size = struct.calcsize(code) * length
        data = entries[place + start : place + start + min(size, inside)]
        if size > inside:
            file.seek(struct.unpack_from(layout.place, entries, place + start)[0])
            data = file.read(size)
        tags[tag] = tuple(data) if code == "B" else struct.unpack(f"{layout.order}{length}{code}", data)
    return tags
