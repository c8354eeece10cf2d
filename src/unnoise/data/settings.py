"""Four choices turn any picture into an array: size, channels, fit and background."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

from unnoise.utils.errors import require

Fit: TypeAlias = Literal["crop", "pad"]
"""crop: the short side fits and the rest is cut off; pad: the long side fits and the rest is filled."""

Size: TypeAlias = tuple[int, int]
"""(height, width) in pixels."""

Colour: TypeAlias = tuple[int, int, int]
"""Red, green and blue from 0 to 255."""

LARGEST_SIDE = 4096


@dataclass(frozen=True)
class Settings:
    """What the caller asked for; `None` leaves the choice to the pictures themselves."""

    size: Size | None = None
    channels: int | None = None
    fit: Fit = "crop"
    background: Colour = (255, 255, 255)

    def __post_init__(self) -> None:
        if self.size is not None:
            require(
                all(1 <= side <= LARGEST_SIDE for side in self.size),
                f"size must be (height, width) with sides from 1 to {LARGEST_SIDE} pixels, "
                f"got {self.size}: choose sides such as 64.",
            )
        require(
            self.channels is None or self.channels >= 1,
            f"channels must be 1 (grey), 2 (grey and alpha), 3 (colour) or 4 (colour and alpha), "
            f"got {self.channels}: choose one, or leave it out.",
        )
        require(
            self.fit in {"crop", "pad"},
            f"fit must be 'crop' or 'pad', got {self.fit!r}: choose one of the two.",
        )
        require(
            all(0 <= value <= 255 for value in self.background),
            f"background must be three numbers from 0 to 255, got {self.background}: white is (255, 255, 255).",
        )

    def known_size(self) -> Size:
        """(height, width), once they have been settled."""
        assert self.size is not None, "the size is settled before anything is decoded"
        return self.size

    def known_channels(self) -> int:
        """The number of channels, once it has been settled."""
        assert self.channels is not None, "the channels are settled before anything is decoded"
        return self.channels
