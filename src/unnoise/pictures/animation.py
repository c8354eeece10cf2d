"""The name of the file decides how it is animated: .gif or .mp4."""

from collections.abc import Sequence

from PIL import Image

from unnoise.pictures.gifs import save_gif
from unnoise.pictures.png import require_suffix
from unnoise.pictures.timelines import HOLD_LAST, SECONDS_PER_FRAME
from unnoise.pictures.videos import save_video
from unnoise.utils.files import PathLike


def save_animation(
    frames: Sequence[Image.Image],
    path: PathLike,
    seconds_per_frame: float = SECONDS_PER_FRAME,
    hold_last: float = HOLD_LAST,
    loop: bool = True,
    boomerang: bool = False,
) -> None:
    """Writes frames of one size as `save_gif` or as `save_video` would, by the suffix of `path`.

    Arguments and errors are theirs; `loop` is a GIF's alone: a video's player decides whether to repeat.

    Raises:
        UnnoiseError: a suffix that is neither .gif nor .mp4, or what the two functions refuse.
    """
    if require_suffix(path, ".gif", ".mp4") == ".gif":
        save_gif(frames, path, seconds_per_frame, hold_last, loop, boomerang)
    else:
        save_video(frames, path, seconds_per_frame, hold_last, boomerang)
