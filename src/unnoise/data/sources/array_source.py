"""Array source: the pictures of one .npy, .npz or IDX file."""

import math
import os
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from unnoise.data.decoding.array_files import StoredArray, read_array, to_bytes
from unnoise.data.decoding.conversion import MODES, DecodeSettings, Size, fit_picture, to_array, to_mode
from unnoise.data.decoding.layouts import layout_text
from unnoise.data.decoding.value_range import UnknownRangeError, ValueStatistics, has_range, measured, merged
from unnoise.data.folder_levels import FolderSplit
from unnoise.data.image_set import Skipped, chunks
from unnoise.data.labels import Labels, count_classes, labels_beside
from unnoise.data.parallel import map_in_order
from unnoise.data.progress import Progress, progress_bar
from unnoise.data.sources.source import DecodedBatch, Summary, natural_size
from unnoise.utils.errors import require
from unnoise.utils.files import stamp

_AT_ONCE = 256
_MOST_BYTES = 64 * 2**20
"""Bytes of the pictures that one thread converts at once."""


@dataclass
class ArraySource:
    """A `Source` of one array, (N, H, W, C), which is read when it is first needed."""

    name: str
    format: str
    read: Callable[[], StoredArray]
    identify: Callable[[bool], bytes]
    """The identity, dated or not."""
    labels: Callable[[bool], Labels]
    """Reads the labels; true: may download them. Raises UnnoiseError if there are none."""
    mapped: bool = False
    """Whether the array is mapped from its file, so that it may be used without a copy in the cache."""
    layout: str | None = None
    """A letter for each axis of the file's array, such as NCHW; None is found from its shape."""

    @cached_property
    def _stored(self) -> StoredArray:
        return self.read()

    @property
    def array(self) -> NDArray[Any]:
        """The array of the file: bool, integers or floats."""
        return self._stored.pixels

    @cached_property
    def is_mask(self) -> bool:
        """Whether it has bytes of nothing but 0 and 1, so that 1 must be white."""
        if self.array.dtype != np.uint8:
            return False
        most = 0
        for some in chunks(self.array, self._at_once):
            most = max(most, int(some.max()))
            if most > 1:  # at the first pictures, as a rule
                return False
        return most == 1

    def identity(self, *, dated: bool) -> bytes:
        """A hash that names the file."""
        return self.identify(dated)

    def total(self) -> int:
        """The number of pictures."""
        return len(self.array)

    def summarize(self, *, progress: Progress = False) -> Summary:
        """The size and channels that all pictures share."""
        count, height, width, channels = self.array.shape
        size: Size = (height, width)
        return Summary(
            source=self.name,
            count=count,
            unreadable=(),
            formats=Counter({self.format: count}),
            modes=Counter({MODES.get(channels, f"{channels} channels"): count}),
            suffixes=Counter({self.format: count}),
            smallest=size,
            median=size,
            largest=size,
            proposed_size=natural_size(size),
            proposed_channels=channels,
            classes=count_classes(partial(self.labels, False)),
        )

    def unconverted(self, settings: DecodeSettings) -> NDArray[np.uint8] | None:
        """The array itself, if it is uint8 (no mask) of the size and channels asked for."""
        if not self.mapped or self.array.dtype != np.uint8 or self.is_mask:
            return None
        height, width, channels = self.array.shape[1:]
        same_size = (settings.size or natural_size((height, width))) == (height, width)
        return self.array if same_size and settings.channels in {None, channels} else None

    def batches(self, settings: DecodeSettings | None, first: int = 0) -> Generator[DecodedBatch, None, None]:
        """Batches of up to 256 pictures; raises UnnoiseError for channels that the array cannot have."""
        channels = self.array.shape[3]
        require(
            settings is None or settings.channels == channels or {settings.channels, channels} <= set(MODES),
            f"Cannot convert pictures of {self.name!r} from {channels} to {settings and settings.channels} "
            f"channels: both numbers must be from 1 to 4. Leave the channels out.",
        )
        return map_in_order(partial(self._batch, settings), range(first, len(self.array), self._at_once))

    def statistics(self, *, progress: Progress = False) -> dict[str, ValueStatistics]:
        """The values of the whole array; empty for booleans, and for bytes that are not all 0 or 1."""
        if self.array.dtype == np.bool_ or (self.array.dtype == np.uint8 and not self.is_mask):
            return {}
        bar = progress_bar("Finding the range", len(self.array), progress)
        with bar:

            def counted() -> Iterator[ValueStatistics]:
                for start in range(0, len(self.array), self._at_once):
                    some = np.asarray(self.array[start : start + self._at_once])
                    yield measured(some)
                    bar.advance(len(some))

            return merged(counted())

    def is_plain(self) -> bool:
        """Whether caches of older versions hold the right pixels, as for booleans, floats and most bytes.

        Bytes that are all 0 or 1, and wider integers, are read by a range now, which those versions lacked.
        """
        return self.array.dtype.kind in "bf" or (self.array.dtype == np.uint8 and not self.is_mask)

    def reading(self) -> str:
        """A sentence on how the axes are read, for arrays of numpy."""
        if self.format not in {".npy", ".npz"}:
            return ""
        return layout_text(self._stored.stored, self.array, self.layout)

    def left_out(self, taken: int, skipped: Sequence[Skipped]) -> str:
        """Empty: an array has no other files."""
        return ""

    def picture_names(self) -> list[str]:
        """Empty: the pictures of an array have no names."""
        return []

    def empty_folders(self) -> list[str]:
        """Empty: an array has no folders."""
        return []

    def own_labels(
        self, names: Sequence[str], level: int | None = None, split: FolderSplit | None = None
    ) -> Labels:
        """Labels of all pictures; raises UnnoiseError for a level of folders."""
        require(
            level is None or level == 1,
            f"--labels auto:{level} counts levels of folders, but {self.name!r} is an array. Write --labels "
            f"auto for its own labels.",
        )
        return self.labels(True)

    @property
    def _at_once(self) -> int:
        """How many pictures a batch has: 256, or fewer if they are large."""
        one = math.prod(self.array.shape[1:]) * self.array.itemsize
        return min(_AT_ONCE, max(1, _MOST_BYTES // one))

    def close(self) -> None:
        """Nothing to close: the array stays mapped for its users."""

    def _batch(self, settings: DecodeSettings | None, start: int) -> DecodedBatch:
        raw = np.ascontiguousarray(self.array[start : start + self._at_once])
        kind = f"{raw.dtype.str} {raw.shape[1:]}".encode()
        digest = blake2b(raw.data, key=kind[:64], digest_size=16).digest()
        if settings is None:
            return DecodedBatch(None, digest, len(raw))
        if self.is_mask and not has_range("uint8", settings.ranges):
            raise UnknownRangeError("uint8")
        pixels = to_bytes(raw, self.name, settings.ranges)
        if settings.known_channels() != raw.shape[3]:
            return DecodedBatch(np.stack([_converted(one, settings) for one in pixels]), digest, len(raw))
        if settings.known_size() != raw.shape[1:3]:
            return DecodedBatch(np.stack([_resized(one, settings) for one in pixels]), digest, len(raw))
        return DecodedBatch(pixels, digest, len(raw))


def array_file_source(
    name: str, path: Path, labels: Callable[[bool], Labels] | None = None, layout: str | None = None
) -> ArraySource:
    """The source of one .npy, .npz or IDX file, whose identity is its path, size and time of change.

    `layout` has a letter for each axis of a numpy array, such as NCHW. Its labels are those in the file or
    beside it, unless `labels` reads them.
    """

    def identify(dated: bool) -> bytes:
        status = path.stat()
        dates = f"\0{stamp(status)}\0".encode() + os.fsencode(path.resolve()) if dated else b""
        axes = f"\0{layout.upper()}" if layout else ""
        return f"array\0{status.st_size}{axes}".encode() + dates

    suffix = path.suffix.lower()
    kind = suffix if suffix in {".npy", ".npz"} else "IDX"
    # A .npy is mapped, whatever its size; the others have to be unpacked.
    return ArraySource(
        name,
        kind,
        partial(read_array, path, layout),
        identify,
        labels or (lambda _: labels_beside(path, name)),
        mapped=kind == ".npy",
        layout=layout,
    )


def _converted(pixels: NDArray[np.uint8], settings: DecodeSettings) -> NDArray[np.uint8]:
    """Converts L, LA, RGB or RGBA, by the number of channels, to the channels and size asked for."""
    picture = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
    mode = to_mode(picture, settings.known_channels(), settings.background)
    return to_array(fit_picture(mode, settings))


def _resized(pixels: NDArray[np.uint8], settings: DecodeSettings) -> NDArray[np.uint8]:
    """Resizes each channel by itself: in an array that keeps its channels, none is known to be alpha."""
    planes = []
    for channel in range(pixels.shape[2]):
        value = settings.background[channel] if pixels.shape[2] == 3 else settings.background[0]
        own = DecodeSettings(settings.size, 1, settings.fit, (value, value, value))
        planes.append(to_array(fit_picture(Image.fromarray(np.ascontiguousarray(pixels[..., channel])), own)))
    return np.concatenate(planes, axis=2)
