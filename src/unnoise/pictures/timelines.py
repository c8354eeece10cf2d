"""An animation is a list of pictures of one size and the seconds that each one stands."""

from collections.abc import Sequence
from typing import NamedTuple

from PIL import Image

from unnoise.utils.errors import require

SECONDS_PER_FRAME = 0.05
HOLD_LAST = 1.5


class Shot(NamedTuple):
    """One picture and how long it stands."""

    picture: Image.Image
    seconds: float


def timeline(
    frames: Sequence[Image.Image], seconds_per_frame: float, hold_last: float, boomerang: bool
) -> list[Shot]:
    """Puts T frames in order: T shots, or 2T - 2 with `boomerang`, which walks back to the second frame.

    Every shot stands `seconds_per_frame`, the last frame at least `hold_last` seconds in all.

    Raises:
        UnnoiseError: no frames, frames of several sizes, or a time that is not above 0.
    """
    require(
        len(frames) > 0,
        "An animation needs at least one frame, but the list is empty: pass frames(trajectory).",
    )
    sizes = sorted({frame.size for frame in frames})
    require(
        len(sizes) == 1,
        f"The frames of an animation have one size, but these have {len(sizes)}, among them "
        f"{sizes[0]} and {sizes[-1]}: draw them with the same columns and scale.",
    )
    require(
        seconds_per_frame > 0.0 and hold_last >= 0.0,
        f"A frame stands for more than 0 seconds and the last is held for 0 or more, but these are "
        f"{seconds_per_frame} and {hold_last}: use for instance {SECONDS_PER_FRAME} and {HOLD_LAST}.",
    )
    there = [Shot(frame, seconds_per_frame) for frame in frames]
    there[-1] = Shot(frames[-1], max(seconds_per_frame, hold_last))
    back = there[-2:0:-1] if boomerang else []
    return there + back
