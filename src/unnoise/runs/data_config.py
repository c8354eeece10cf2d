"""Configuration of a run's pictures: where they are, their shape, their classes, and which are held out."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from unnoise.data import ValueRange
from unnoise.data.batches import Split, split
from unnoise.data.limits import LARGEST_SIDE
from unnoise.utils.errors import require


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Pictures of a run: their source, size and classes.

    `labels` is "auto", "auto:2" (the level of the folders) or a file, for a run with classes; `classes` are
    their names in order. `ranges` are the values that are black and white, by kind of number, for pictures of
    more than 8 bits. `layout` has a letter for each axis of an array, if it was given. The `held_out` pictures
    are drawn by the seed, unless they are those of `held_out_ranges` (each from its first to before its end),
    which --split-folders found. `without_class` counts the pictures that are learned from without a class.
    """

    source: str
    height: int
    width: int
    channels: int
    fit: Literal["crop", "pad"] = "crop"
    background: tuple[int, int, int] = (255, 255, 255)
    ranges: tuple[ValueRange, ...] = ()
    layout: str | None = None
    flip: bool = False
    held_out: int = 0
    held_out_ranges: tuple[tuple[int, int], ...] = ()
    fingerprint: str = ""
    labels: str | None = None
    classes: tuple[str, ...] = ()
    label_fingerprint: str = ""
    without_class: int = 0

    def __post_init__(self) -> None:
        require(
            len(set(self.classes)) == len(self.classes),
            f"Two classes have the same name: {', '.join(self.classes)}. Rename one of them.",
        )
        require(
            min(self.height, self.width, self.channels) >= 1,
            f"Pictures have at least 1 row, column and channel, but got {self.height} x {self.width} x "
            f"{self.channels}. Choose 1 or more of each, or restore config.json from a copy.",
        )
        require(
            max(self.height, self.width, self.channels) <= LARGEST_SIDE,
            f"Pictures have at most {LARGEST_SIDE:,} rows, columns and channels, but got {self.height} x "
            f"{self.width} x {self.channels}. Choose smaller ones, or restore config.json from a copy.",
        )

        ends = [end for pair in self.held_out_ranges for end in pair]
        require(
            not ends
            or (ends[0] >= 0 and ends == sorted(ends) and sum(ends[1::2]) - sum(ends[::2]) == self.held_out),
            f"The held_out_ranges are not in rising order, or do not hold {self.held_out} pictures in all, as "
            "held_out says. Restore config.json from a copy.",
        )

    def split(self, count: int, seed: int) -> Split:
        """Splits `count` pictures into training and held-out ones, by the seed or as their folders did.

        Raises:
            UnnoiseError: if nothing would be left to train on.
        """
        if not self.held_out_ranges:
            return split(count, self.held_out, seed)
        last = self.held_out_ranges[-1][1]
        require(
            self.held_out < count and last <= count,
            f"Cannot hold out {self.held_out} of {count} pictures, the last of them number {last}. Leave some "
            f"to train on.",
        )
        held_out = np.concatenate([np.arange(first, end) for first, end in self.held_out_ranges])
        return Split(np.setdiff1d(np.arange(count), held_out), held_out)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(channels, height, width)."""
        return self.channels, self.height, self.width
