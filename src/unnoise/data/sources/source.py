"""Source protocol: pictures as a stream of decoded batches, with an identity and a summary."""

from collections import Counter
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from unnoise.data.decoding.conversion import GREY_MODES, DecodeSettings, Size
from unnoise.data.decoding.decode import Header
from unnoise.data.decoding.value_range import ValueStatistics
from unnoise.data.folder_levels import FolderSplit
from unnoise.data.image_set import Skipped
from unnoise.data.labels import Labels
from unnoise.data.progress import Progress
from unnoise.utils.errors import UnnoiseError

LARGEST_NATURAL_SIDE = 128
"""Pictures that all have one size keep it up to here."""
DEFAULT_SIZE: Size = (64, 64)
_REASONS_SHOWN = 3


@dataclass(frozen=True)
class Summary:
    """Facts about a source before anything is decoded; sizes are (height, width) in pixels.

    `smallest`, `median` and `largest` go by area. `modes` counts Pillow's modes, such as L, RGB, RGBA and P.
    `ignored` counts, by suffix, the files that are not pictures; `classes` the pictures of each class, if the
    source tells of any. `headers` are those of files, by name; an array has none.
    """

    source: str
    count: int
    unreadable: tuple[str, ...]
    formats: Counter[str]
    modes: Counter[str]
    suffixes: Counter[str]
    smallest: Size
    median: Size
    largest: Size
    proposed_size: Size
    proposed_channels: int
    ignored: Counter[str] = field(default_factory=Counter)
    classes: dict[str, int] = field(default_factory=dict)
    headers: dict[str, Header] = field(default_factory=dict)


class DecodedBatch(NamedTuple):
    """A few pictures of a source, decoded or skipped."""

    pixels: NDArray[np.uint8] | None
    """(n, H, W, C), or None if nothing was decoded."""
    digest: bytes
    """A hash of the bytes that were read; empty if they could not be read this time."""
    seen: int
    """How many pictures were looked at."""
    skipped: Skipped | None = None
    notes: tuple[str, ...] = ()
    """What is wrong with a picture that was decoded nevertheless, with its name."""


@runtime_checkable
class Source(Protocol):
    """Pictures in a folder, a zip or an array."""

    @property
    def name(self) -> str:
        """The name that the caller gave."""

    def identity(self, *, dated: bool) -> bytes:
        """A hash that names the content without reading it; dated: also its path and time of change."""

    def total(self) -> int:
        """How many pictures there are to look at."""

    def summarize(self, *, progress: Progress = False) -> Summary:
        """Reads headers only; raises UnnoiseError if no picture can be read."""

    def unconverted(self, settings: DecodeSettings) -> NDArray[np.uint8] | None:
        """The pixels, (N, H, W, C), if they can be used as they are, without conversion or cache."""

    def batches(self, settings: DecodeSettings | None, first: int = 0) -> Generator[DecodedBatch, None, None]:
        """Reads everything in order; with None nothing is decoded, only the digests are computed.

        Goes on at picture `first`, with which a batch began before.
        """

    def statistics(self, *, progress: Progress = False) -> dict[str, ValueStatistics]:
        """Reads everything for the values that need a range, by kind of number."""

    def is_plain(self) -> bool:
        """Whether caches written before ranges and colour profiles were read hold the right pixels."""

    def reading(self) -> str:
        """A sentence on how the axes of an array are read; empty for files."""

    def left_out(self, taken: int, skipped: Sequence[Skipped]) -> str:
        """A sentence on the files that were not taken, counted by suffix; empty if all were."""

    def picture_names(self) -> Sequence[str]:
        """A name for each picture to look at, as in `Skipped`; the pictures of an array have none."""

    def empty_folders(self) -> Sequence[str]:
        """Folders without a picture or a folder in them, with a slash at the end."""

    def own_labels(
        self, names: Sequence[str], level: int | None = None, split: FolderSplit | None = None
    ) -> Labels:
        """Labels that the source itself has, for the pictures with these names, or for a whole array.

        `level` and `split` choose the folders of the classes; see `class_level`. Raises UnnoiseError if there
        are none.
        """

    def close(self) -> None:
        """Closes open files."""


def summarize_headers(
    source: str, headers: Sequence[tuple[str, Header]], skipped: Sequence[Skipped], ignored: Counter[str]
) -> Summary:
    """Summarises headers, each with the suffix of its file; raises UnnoiseError if there are none."""
    if not headers:
        raise nothing_readable(source, len(skipped), skipped)
    sizes = sorted((header.size for _, header in headers), key=lambda size: (size[0] * size[1], size))
    return Summary(
        source=source,
        count=len(headers),
        unreadable=tuple(one.name for one in skipped),
        formats=Counter(header.format for _, header in headers),
        modes=Counter(header.mode for _, header in headers),
        suffixes=Counter(suffix for suffix, _ in headers),
        smallest=sizes[0],
        median=sizes[len(sizes) // 2],
        largest=sizes[-1],
        proposed_size=natural_size(sizes[0]) if len(set(sizes)) == 1 else DEFAULT_SIZE,
        proposed_channels=1 if all(header.mode in GREY_MODES for _, header in headers) else 3,
        ignored=ignored,
    )


def natural_size(common: Size) -> Size:
    """The size that all pictures share if no side is above 128, else 64 x 64."""
    return common if max(common) <= LARGEST_NATURAL_SIDE else DEFAULT_SIZE


def nothing_readable(source: str, count: int, skipped: Sequence[Skipped]) -> UnnoiseError:
    """The error for a source without a single readable picture, of `count` files."""
    first = "; ".join(f"{one.name}: {one.reason}" for one in skipped[:_REASONS_SHOWN])
    files = "the only image file" if count == 1 else f"any of the {count:,} image files"
    told = all(": " in one.reason for one in skipped)  # a colon comes before a remedy
    remedy = "" if told else " Open one in an image viewer, and save it again as PNG or JPEG."
    return UnnoiseError(f"Cannot read {files} in {source!r} ({first}).{remedy}")
