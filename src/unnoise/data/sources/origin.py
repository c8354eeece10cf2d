"""A source is a cheap identity and a stream of batches: all that the cache asks of it."""

from collections.abc import Generator, Sequence
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from unnoise.data.image_set import Skipped
from unnoise.data.labels.classes import Labels
from unnoise.data.settings import Settings
from unnoise.data.summary import Summary


class Batch(NamedTuple):
    """What became of a few pictures."""

    pixels: NDArray[np.uint8] | None
    """(n, H, W, C), or None where nothing was decoded."""
    digest: bytes
    """A hash of the bytes that were read; empty where they could not be read this time."""
    seen: int
    """How many pictures were looked at."""
    skipped: Skipped | None = None


@runtime_checkable
class Origin(Protocol):
    """Where pictures come from: files in a folder or a zip, or one array."""

    @property
    def source(self) -> str:
        """The name that the caller gave."""

    def identity(self, *, dated: bool) -> bytes:
        """Names the content without reading it; dated: also where it lies and when it was changed."""

    def total(self) -> int:
        """How many pictures there are to look at."""

    def summarize(self, *, progress: bool = False) -> Summary:
        """Looks at headers only; raises UnnoiseError where no picture can be read."""

    def ready(self, settings: Settings) -> NDArray[np.uint8] | None:
        """The pixels, (N, H, W, C), where they need no conversion at all and hence no cache."""

    def batches(self, settings: Settings | None) -> Generator[Batch, None, None]:
        """Reads everything in order; with None nothing is decoded and the digests alone count."""

    def picture_names(self) -> Sequence[str]:
        """A name for each picture there is to look at, as `Skipped` has it; those of an array have none."""

    def own_labels(self, names: Sequence[str]) -> Labels:
        """The classes, as the source itself tells, of the pictures with these names, or of a whole array.

        Raises UnnoiseError where it tells of none.
        """

    def close(self) -> None:
        """Lets go of open files."""
