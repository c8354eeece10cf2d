"""An array of pictures is resized like files are, and used as it lies where nothing has to change."""

import math
import os
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from unnoise.data.cache.parallel import in_order
from unnoise.data.decoding.decode import MODES, to_array, to_mode
from unnoise.data.decoding.fitting import fit_picture
from unnoise.data.labels.classes import Labels, counted
from unnoise.data.labels.label_files import labels_beside
from unnoise.data.settings import Settings, Size
from unnoise.data.sources.arrays import read_array, to_bytes
from unnoise.data.sources.origin import Batch
from unnoise.data.summary import Summary, natural_size
from unnoise.utils.errors import require

_AT_ONCE = 256
_MOST_BYTES = 64 * 2**20
"""Of the pictures that one thread takes at once."""


@dataclass
class ArrayPictures:
    """One array, (N, H, W, C), as an `Origin`; it is read no earlier than needed."""

    source: str
    format: str
    read: Callable[[], NDArray[Any]]
    names: Callable[[bool], bytes]
    """The identity, dated or not."""
    labels: Callable[[bool], Labels]
    """Reads the labels, and may download them or not; raises UnnoiseError where there are none."""
    direct: bool = False
    """Whether reading costs next to nothing, so that the array itself may be used."""

    @cached_property
    def array(self) -> NDArray[Any]:
        """As it lies in the file: uint8, bool or floats."""
        return self.read()

    def identity(self, *, dated: bool) -> bytes:
        """That of the file."""
        return self.names(dated)

    def total(self) -> int:
        """The number of pictures."""
        return len(self.array)

    def summarize(self, *, progress: bool = False) -> Summary:
        """All pictures of an array are alike."""
        count, height, width, channels = self.array.shape
        size: Size = (height, width)
        return Summary(
            source=self.source,
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
            classes=counted(partial(self.labels, False)),
        )

    def ready(self, settings: Settings) -> NDArray[np.uint8] | None:
        """The array itself, where it is uint8 already and has the size and channels asked for."""
        if not self.direct or self.array.dtype != np.uint8:
            return None
        height, width, channels = self.array.shape[1:]
        same_size = (settings.size or natural_size((height, width))) == (height, width)
        return self.array if same_size and settings.channels in {None, channels} else None

    def batches(self, settings: Settings | None) -> Generator[Batch, None, None]:
        """A batch for some 256 pictures each; raises UnnoiseError where the channels cannot be had."""
        channels = self.array.shape[3]
        require(
            settings is None or settings.channels == channels or {settings.channels, channels} <= set(MODES),
            f"An array keeps its channels unless both numbers are from 1 to 4, but {self.source!r} "
            f"has {channels} and {settings and settings.channels} were asked for: leave channels out.",
        )
        return in_order(partial(self._batch, settings), range(0, len(self.array), self._at_once))

    def picture_names(self) -> list[str]:
        """None: the pictures of an array have no names."""
        return []

    def own_labels(self, names: Sequence[str]) -> Labels:
        """Of all pictures."""
        return self.labels(True)

    @property
    def _at_once(self) -> int:
        """How many pictures a batch has: fewer of the large ones."""
        one = math.prod(self.array.shape[1:]) * self.array.itemsize
        return min(_AT_ONCE, max(1, _MOST_BYTES // one))

    def close(self) -> None:
        """Nothing stays open but the mapping, which its users hold."""

    def _batch(self, settings: Settings | None, start: int) -> Batch:
        raw = np.ascontiguousarray(self.array[start : start + self._at_once])
        kind = f"{raw.dtype.str} {raw.shape[1:]}".encode()
        digest = blake2b(raw.data, key=kind[:64], digest_size=16).digest()
        if settings is None:
            return Batch(None, digest, len(raw))
        pixels = to_bytes(raw, self.source)
        if settings.known_channels() != raw.shape[3]:
            return Batch(np.stack([_converted(one, settings) for one in pixels]), digest, len(raw))
        if settings.known_size() != raw.shape[1:3]:
            return Batch(np.stack([_resized(one, settings) for one in pixels]), digest, len(raw))
        return Batch(pixels, digest, len(raw))


def array_file(source: str, path: Path, labels: Callable[[bool], Labels] | None = None) -> ArrayPictures:
    """The pictures of one .npy, .npz or IDX file, known by place, size and time of change.

    Its labels are those in or beside it, unless told how to read them.
    """

    def names(dated: bool) -> bytes:
        status = path.stat()
        dates = f"\0{status.st_mtime_ns}\0".encode() + os.fsencode(path.resolve()) if dated else b""
        return f"array\0{status.st_size}".encode() + dates

    suffix = path.suffix.lower()
    kind = suffix if suffix in {".npy", ".npz"} else "IDX"
    # A .npy is mapped, whatever its size; the others have to be unpacked.
    return ArrayPictures(
        source,
        kind,
        partial(read_array, path),
        names,
        labels or (lambda _: labels_beside(path, source)),
        direct=kind == ".npy",
    )


def _converted(pixels: NDArray[np.uint8], settings: Settings) -> NDArray[np.uint8]:
    """Read as grey, grey and alpha, colour, or colour and alpha, by the number of channels."""
    picture = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
    mode = to_mode(picture, settings.known_channels(), settings.background)
    return to_array(fit_picture(mode, settings))


def _resized(pixels: NDArray[np.uint8], settings: Settings) -> NDArray[np.uint8]:
    """Each channel for itself: in an array that keeps its channels, nobody said that one of them is alpha."""
    planes = []
    for channel in range(pixels.shape[2]):
        value = settings.background[channel] if pixels.shape[2] == 3 else settings.background[0]
        own = Settings(settings.size, 1, settings.fit, (value, value, value))
        planes.append(to_array(fit_picture(Image.fromarray(np.ascontiguousarray(pixels[..., channel])), own)))
    return np.concatenate(planes, axis=2)
