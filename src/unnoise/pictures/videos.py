"""A video plays everywhere when it is H.264 with halved colour planes, and those need even sizes."""

import importlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from unnoise.pictures.png import require_suffix
from unnoise.pictures.timelines import HOLD_LAST, SECONDS_PER_FRAME, timeline
from unnoise.utils.errors import UnnoiseError
from unnoise.utils.files import PathLike, writable


def _even(picture: Image.Image) -> UInt8[np.ndarray, "height width 3"]:
    """The picture's RGB bytes, the last row and column repeated where a size is odd."""
    pixels = np.asarray(picture.convert("RGB"))
    return np.pad(pixels, ((0, picture.height % 2), (0, picture.width % 2), (0, 0)), mode="edge")


def require_video() -> None:
    """Raises `UnnoiseError` unless imageio and PyAV are installed."""
    for name in ("imageio", "av"):
        try:
            importlib.import_module(name)
        except ImportError as error:
            raise UnnoiseError(
                f"A video is written with imageio and PyAV, but {error.name or name} is missing: "
                f'run pip install "unnoise[video]", or save a .gif instead.'
            ) from error


def _encode(pictures: Sequence[Image.Image], path: Path, frames_per_second: float) -> None:
    """Writes the pictures as H.264 (yuv420p), a keyframe each second at the latest."""
    require_video()
    import imageio.v3 as imageio

    with imageio.imopen(path, "w", plugin="pyav") as video:
        video.init_video_stream(
            "libx264",
            fps=frames_per_second,
            pixel_format="yuv420p",
            max_keyframe_interval=max(1, round(frames_per_second)),
        )
        for picture in pictures:
            video.write_frame(_even(picture))


def save_video(
    frames: Sequence[Image.Image],
    path: PathLike,
    seconds_per_frame: float = SECONDS_PER_FRAME,
    hold_last: float = HOLD_LAST,
    boomerang: bool = False,
) -> None:
    """Writes frames of one size as an .mp4 (H.264, yuv420p); odd sizes grow by one pixel.

    Args:
        frames: pictures, for instance `frames(trajectory)`.
        path: ends in .mp4; its folder is created.
        seconds_per_frame: the time that each frame stands.
        hold_last: how long the last frame stands in all, if longer: it is repeated.
        boomerang: walk back from the last frame to the second.

    Raises:
        UnnoiseError: imageio or PyAV is missing (`pip install "unnoise[video]"`), no frames, frames of
            several sizes, times out of range, or an unwritable path.
    """
    require_suffix(path, ".mp4")
    shots = timeline(frames, seconds_per_frame, hold_last, boomerang)
    repeated = [shot.picture for shot in shots for _ in range(max(1, round(shot.seconds / seconds_per_frame)))]
    with writable(path) as temporary:
        _encode(repeated, temporary, 1.0 / seconds_per_frame)
