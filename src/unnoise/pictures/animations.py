"""Animations of frames of one size, as GIF files or as MP4 videos."""

import importlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from unnoise.pictures import gifs
from unnoise.pictures.gifs import TimedFrame
from unnoise.utils.errors import UnnoiseError, require
from unnoise.utils.files import PathLike, atomic_write, require_suffix

SECONDS_PER_FRAME = 0.05
HOLD_LAST = 1.5


def _timed(
    frames: Sequence[Image.Image], seconds_per_frame: float, hold_last: float, boomerang: bool
) -> list[TimedFrame]:
    """The frames in their order, and with `boomerang` back to the second one: T frames, or 2T - 2.

    Each is shown for `seconds_per_frame`, the last one for at least `hold_last` seconds.

    Raises:
        UnnoiseError: no frames, frames of several sizes, or a time that is not above 0.
    """
    require(
        len(frames) > 0,
        "An animation needs at least one frame, but got none. Pass for example frames(trajectory).",
    )
    sizes = sorted({frame.size for frame in frames})
    require(
        len(sizes) == 1,
        f"All frames of an animation must have one size, but these have {len(sizes)} sizes, among them "
        f"{sizes[0]} and {sizes[-1]}. Draw them with the same columns and scale.",
    )
    require(
        seconds_per_frame > 0.0 and hold_last >= 0.0,
        f"seconds_per_frame must be above 0 and hold_last at least 0, but got {seconds_per_frame} and "
        f"{hold_last} seconds. The defaults are {SECONDS_PER_FRAME} and {HOLD_LAST}.",
    )
    forth = [TimedFrame(frame, seconds_per_frame) for frame in frames]
    forth[-1] = TimedFrame(frames[-1], max(seconds_per_frame, hold_last))
    back = forth[-2:0:-1] if boomerang else []
    return forth + back


def save_gif(
    frames: Sequence[Image.Image],
    path: PathLike,
    seconds_per_frame: float = SECONDS_PER_FRAME,
    hold_last: float = HOLD_LAST,
    loop: bool = True,
    boomerang: bool = False,
) -> None:
    """Writes T frames of one size as a GIF of exactly T frames, equal ones included.

    Grey frames are written without loss; coloured ones share one palette of 256 colours. Frames wider than 800
    pixels are scaled down.

    Args:
        frames: for example `frames(trajectory)`.
        path: ends in .gif; its folder is created.
        seconds_per_frame: at least 0.02, because browsers slow down faster GIFs; rounded to 0.01 seconds.
        hold_last: seconds that the last frame is shown, if longer.
        loop: play again and again, or once.
        boomerang: play back from the last frame to the second: 2T - 2 frames.

    Raises:
        UnnoiseError: no frames, frames of several sizes, times out of range, or a path that can't be written.
    """
    require_suffix(path, ".gif")
    encoded = gif_bytes(frames, seconds_per_frame, hold_last, loop, boomerang)
    with atomic_write(path) as temporary:
        temporary.write_bytes(encoded)


def gif_bytes(
    frames: Sequence[Image.Image],
    seconds_per_frame: float = SECONDS_PER_FRAME,
    hold_last: float = HOLD_LAST,
    loop: bool = True,
    boomerang: bool = False,
) -> bytes:
    """The bytes of a GIF; see `save_gif`."""
    longest = max(seconds_per_frame, hold_last)
    require(
        seconds_per_frame >= 0.02 and longest <= 655.0,
        f"A frame of a GIF is shown for 0.02 to 655 seconds, but got seconds_per_frame {seconds_per_frame} and "
        f"hold_last {hold_last}. The defaults are {SECONDS_PER_FRAME} and {HOLD_LAST}; an .mp4 may be faster.",
    )
    indices, palette = gifs.indexed(frames)
    return gifs.encode(_timed(indices, seconds_per_frame, hold_last, boomerang), palette, loop)


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
                f"Writing a video needs imageio and PyAV, but {error.name or name} is not installed. "
                f'Run pip install "unnoise[video]", or save a .gif instead.'
            ) from error


def _encode_video(pictures: Sequence[Image.Image], path: Path, frames_per_second: float) -> None:
    """Writes the pictures as H.264 (yuv420p) with at least one keyframe a second."""
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
    """Writes frames of one size as an MP4 video (H.264, yuv420p), which plays everywhere.

    Its halved colour planes need even sizes: odd ones grow by one pixel.

    Args:
        frames: for example `frames(trajectory)`.
        path: ends in .mp4; its folder is created.
        seconds_per_frame: seconds that each frame is shown.
        hold_last: seconds that the last frame is shown, if longer: it is repeated.
        boomerang: play back from the last frame to the second.

    Raises:
        UnnoiseError: imageio or PyAV is missing (`pip install "unnoise[video]"`), no frames, frames of several
            sizes, times out of range, or a path that can't be written.
    """
    require_suffix(path, ".mp4")
    timed = _timed(frames, seconds_per_frame, hold_last, boomerang)
    repeated = [one.picture for one in timed for _ in range(max(1, round(one.seconds / seconds_per_frame)))]
    with atomic_write(path) as temporary:
        _encode_video(repeated, temporary, 1.0 / seconds_per_frame)


def save_animation(
    frames: Sequence[Image.Image],
    path: PathLike,
    seconds_per_frame: float = SECONDS_PER_FRAME,
    hold_last: float = HOLD_LAST,
    loop: bool = True,
    boomerang: bool = False,
) -> None:
    """Writes frames of one size as a GIF or as an MP4 video, by the suffix of `path`.

    Arguments and errors are those of `save_gif` and `save_video`; `loop` applies to GIFs only.

    Raises:
        UnnoiseError: a suffix that is neither .gif nor .mp4, or an error of the two functions.
    """
    if require_suffix(path, ".gif", ".mp4") == ".gif":
        save_gif(frames, path, seconds_per_frame, hold_last, loop, boomerang)
    else:
        save_video(frames, path, seconds_per_frame, hold_last, boomerang)
