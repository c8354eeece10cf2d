"""A data set is one array of bytes, (N, H, W, C), and a note of what could not be read."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b

import numpy as np
import torch
from numpy.typing import NDArray

from unnoise.data.cache.mapping import Pages
from unnoise.data.cache.moments import Moments, moments
from unnoise.diffusion.tensors import Pixels


@dataclass(frozen=True)
class Skipped:
    """One file that looked like a picture, and why it could not be read."""

    name: str
    reason: str


@dataclass(frozen=True, eq=False)
class ImageSet:
    """The pictures of one source, all of one size.

    `pixels` is uint8 of shape (N, H, W, C), from 0 to 255, as a rule mapped read-only from the cache: a data
    set larger than the memory is fine. `source` is as the caller named it. `fingerprint` is a hash of the
    pixels, so that a run can tell whether it goes on with the data it began with.

    `labels`, (N,), are places in `class_names`, where labels were asked for.
    """

    pixels: NDArray[np.uint8]
    source: str
    fingerprint: str
    skipped: tuple[Skipped, ...] = ()
    kept_moments: Moments | None = None
    labels: NDArray[np.int64] | None = None
    class_names: tuple[str, ...] = ()

    @cached_property
    def _pages(self) -> Pages:
        return Pages(self.pixels)

    @cached_property
    def moments(self) -> Moments:
        """The sums of each picture: from the cache, or computed now."""
        return moments(self.pixels) if self.kept_moments is None else self.kept_moments

    @cached_property
    def label_fingerprint(self) -> str:
        """A hash of the labels and the names of the classes; empty where there are none."""
        if self.labels is None:
            return ""
        names = json.dumps(self.class_names).encode()
        return blake2b(self.labels.astype("<i8").tobytes() + names, digest_size=16).hexdigest()

    def __len__(self) -> int:
        return len(self.pixels)

    @property
    def height(self) -> int:
        """Of every picture, in pixels."""
        return int(self.pixels.shape[1])

    @property
    def width(self) -> int:
        """Of every picture, in pixels."""
        return int(self.pixels.shape[2])

    @property
    def channels(self) -> int:
        """1 grey, 2 grey and alpha, 3 colour, 4 colour and alpha; arrays may have more."""
        return int(self.pixels.shape[3])

    def take(self, indices: "NDArray[np.integer] | Sequence[int]") -> Pixels:
        """Copies the pictures at `indices`, (B,), into a contiguous uint8 tensor (B, C, H, W).

        Raises IndexError where an index lies outside the set.
        """
        places = np.asarray(indices)
        self._pages.wanted(places)
        copied = np.asarray(self.pixels[places])
        self._pages.touched(len(copied))
        return torch.from_numpy(copied).permute(0, 3, 1, 2).contiguous()
