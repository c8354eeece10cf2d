"""A look at the headers tells what a data set holds, and which size and channels would suit it."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from unnoise.data.decoding.decode import GREY_MODES, Header
from unnoise.data.image_set import Skipped
from unnoise.data.settings import Size
from unnoise.utils.errors import UnnoiseError

LARGEST_NATURAL_SIDE = 128
DEFAULT_SIZE: Size = (64, 64)
_REASONS_SHOWN = 3


@dataclass(frozen=True)
class Summary:
    """What is known of a source before anything is decoded; sizes are (height, width) in pixels.

    `smallest`, `median` and `largest` go by area. `modes` counts Pillow's modes, such as L, RGB, RGBA and P.
    `ignored` counts, by suffix, the files beside the pictures; `classes` the pictures of each class, where
    the source tells of any. `headers` are those of files, by name; an array has none.
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


def summarize_headers(
    source: str, headers: Sequence[tuple[str, Header]], skipped: Sequence[Skipped], ignored: Counter[str]
) -> Summary:
    """Gathers the headers, each with its suffix; raises UnnoiseError where there are none."""
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
    """The size that all pictures share, unless it is too large to begin with."""
    return common if max(common) <= LARGEST_NATURAL_SIDE else DEFAULT_SIZE


def nothing_readable(source: str, looked_at: int, skipped: Sequence[Skipped]) -> UnnoiseError:
    """The error for a source without a single readable picture."""
    first = "; ".join(f"{one.name}: {one.reason}" for one in skipped[:_REASONS_SHOWN])
    files = "1 image file was" if looked_at == 1 else f"{looked_at} image files were"
    return UnnoiseError(
        f"A data set needs at least one readable picture, but {source!r} has none, though {files} "
        f"looked at ({first}): open one in an image viewer, and save it again as PNG or JPEG."
    )
