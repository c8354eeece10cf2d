"""Single pictures and masks from files, converted like the pictures of a data set."""

import warnings
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from unnoise.data.decoding.conversion import DecodeSettings, fit_picture
from unnoise.data.decoding.decode import UnreadableError, decode, measure, read_header
from unnoise.data.decoding.pillow_guard import quiet_pillow
from unnoise.data.decoding.value_range import UnknownRangeError, ValueStatistics, merged, with_found
from unnoise.data.limits import LARGEST_FILE
from unnoise.data.sources.array_source import array_file_source
from unnoise.diffusion.tensors import Pixels
from unnoise.utils.errors import UnnoiseError, require, require_permitted

_ARRAYS = frozenset({".npy", ".npz"})
_WHITE = 250
"""The least that counts as white after scaling; anything darker is partly black."""


def read_pictures(paths: Sequence[Path], settings: DecodeSettings) -> Pixels:
    """Reads picture files, and arrays of pictures, as uint8 (B, C, H, W).

    Pictures are converted to the channels and size of `settings`. An array must have these channels already.
    Numbers without a range in `settings` have one for all of these pictures.

    Args:
        paths: .png, .jpg, ... with one picture each, or .npy and .npz with any number.
        settings: with size and channels.

    Raises:
        UnnoiseError: for a file that is missing or damaged, or an array with other channels.
    """
    with quiet_pillow:
        try:
            parts = [_read(path, settings) for path in paths]
        except UnknownRangeError:
            found = merged(one for path in paths for one in _statistics(path))
            settings = replace(settings, ranges=with_found(settings.ranges, found))
            parts = [_read(path, settings) for path in paths]
    return torch.from_numpy(np.concatenate(parts)).permute(0, 3, 1, 2).contiguous()


def read_mask(path: Path, settings: DecodeSettings, sizes: Sequence[tuple[int, int]]) -> NDArray[np.bool_]:
    """Reads a mask, (H, W), true where it is white, fitted like the picture that it was drawn over.

    Only pixels that are entirely white after scaling are true: one on the border counts as black. In a mask
    with transparency, transparent pixels are the opposite of the others: black around opaque white, white
    around opaque black.

    Args:
        path: a picture file.
        settings: of the pictures.
        sizes: the (height, width) that the mask may have.

    Raises:
        UnnoiseError: for a file that is missing or damaged, a mask of another size, or one that has transparent
            pixels beside both black and white ones.
    """
    with quiet_pillow:
        size = picture_size(path)
        require(
            size in sizes,
            f"The mask {path} is {size[0]}x{size[1]} (height x width), but its picture is "
            f"{' or '.join(f'{h}x{w}' for h, w in dict.fromkeys(sizes))}. Draw the mask over the picture.",
        )
        sharp = Image.fromarray(np.where(_is_white(path, size), 255, 0).astype(np.uint8))
        own = DecodeSettings(settings.size, 1, settings.fit, (255, 255, 255))
        return np.asarray(fit_picture(sharp, own)) >= _WHITE


def _is_white(path: Path, size: tuple[int, int]) -> NDArray[np.bool_]:
    """Where a mask is white, (H, W), at its full size."""
    pixels = read_pictures([path], DecodeSettings(size, 2)).numpy()[0]
    white: NDArray[np.bool_] = pixels[0] >= 128
    opaque: NDArray[np.bool_] = pixels[1] >= 128
    if opaque.all():
        return white
    shown = white[opaque]
    require(
        shown.size > 0 and bool(shown.all() or not shown.any()),
        f"The mask {path} has transparent pixels beside "
        f"{'black and white ones' if shown.size else 'no others'}, so what they mean is unclear. Save it "
        f"without transparency: white is kept, black is drawn anew.",
    )
    return opaque if shown.all() else ~opaque


def picture_size(path: Path) -> tuple[int, int]:
    """(height, width) of a picture file, upright; raises UnnoiseError if it cannot be read."""
    _require_file(path)
    try:
        with path.open("rb") as file, quiet_pillow:
            return read_header(file).size
    except (UnreadableError, OSError) as error:
        raise _unreadable(path, error) from error


def sizes_in(path: Path) -> list[tuple[int, int]]:
    """(height, width) of a picture file, or of each picture in an array; raises UnnoiseError as these do."""
    if path.suffix.lower() not in _ARRAYS:
        return [picture_size(path)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # `read_pictures` gives them
        number, height, width, _ = array_file_source(str(path), path).array.shape
    return [(height, width)] * number


def _read(path: Path, settings: DecodeSettings) -> NDArray[np.uint8]:
    if path.suffix.lower() in _ARRAYS:
        return _array(path, settings)
    return _decoded(path, settings)[None]


def _statistics(path: Path) -> Iterable[ValueStatistics | None]:
    """The values of a file that was found to be readable, if they need a range."""
    if path.suffix.lower() in _ARRAYS:
        return array_file_source(str(path), path).statistics().values()
    return [measure(path.read_bytes())]


def _decoded(path: Path, settings: DecodeSettings) -> NDArray[np.uint8]:
    _require_file(path)
    require(
        path.stat().st_size <= LARGEST_FILE,
        f"The picture {path} is larger than {LARGEST_FILE // 2**20} MB. Make it smaller.",
    )
    try:
        return decode(path.read_bytes(), settings)
    except (UnreadableError, OSError) as error:
        raise _unreadable(path, error) from error


def _array(path: Path, settings: DecodeSettings) -> NDArray[np.uint8]:
    _require_file(path)
    source = array_file_source(str(path), path)
    channels = source.array.shape[3]
    require(
        channels == settings.known_channels(),
        f"The array {path} has {channels} {'channel' if channels == 1 else 'channels'}, but "
        f"{settings.known_channels()} are needed. Convert it, or save the pictures as .png.",
    )
    with closing(source.batches(settings)) as batches:
        return np.concatenate([batch.pixels for batch in batches if batch.pixels is not None])


def _require_file(path: Path) -> None:
    require(path.is_file(), f"There is no picture at {path}. Check the spelling.")


def _unreadable(path: Path, error: Exception) -> UnnoiseError:
    require_permitted(path, error)
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    remedy = "" if ": " in reason else " Save it again as .png."  # a colon comes before a remedy
    return UnnoiseError(f"Cannot read the picture {path}: {reason}.{remedy}")
