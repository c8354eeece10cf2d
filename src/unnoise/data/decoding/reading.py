"""A picture that somebody names is made into what a data set's pictures are: cut, scaled and coloured alike."""

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from unnoise.data.decoding.decode import UnreadableError, decode, quiet_pillow, read_header
from unnoise.data.decoding.fitting import fit_picture
from unnoise.data.settings import Settings
from unnoise.data.sources.array_origin import array_file
from unnoise.data.sources.listing import LARGEST_FILE
from unnoise.diffusion.tensors import Pixels
from unnoise.utils.errors import UnnoiseError, require

_ARRAYS = frozenset({".npy", ".npz"})
_WHITE = 250
"""What is left of white after scaling; anything darker had a part in what was black."""


def read_pictures(paths: Sequence[Path], settings: Settings) -> Pixels:
    """Reads picture files, and arrays of pictures, as uint8 (B, C, H, W).

    Colours become grey, grey becomes colour, and the size is fitted, all by `settings`. An array keeps its
    channels, as nobody has said what they mean.

    Args:
        paths: .png, .jpg, ... with one picture each, or .npy and .npz with any number.
        settings: size and channels must be there.

    Raises:
        UnnoiseError: for a file that is missing or damaged, or an array with other channels.
    """
    with quiet_pillow:
        parts = [
            _array(path, settings) if path.suffix.lower() in _ARRAYS else _file(path, settings)
            for path in paths
        ]
    return torch.from_numpy(np.concatenate(parts)).permute(0, 3, 1, 2).contiguous()


def read_mask(path: Path, settings: Settings, sizes: Sequence[tuple[int, int]]) -> NDArray[np.bool_]:
    """Reads a mask, (H, W), true where it is white, fitted like the picture that it was drawn over.

    Only what is white altogether after scaling is true: a pixel on the border belongs to the black.

    Args:
        path: a picture file.
        settings: those of the pictures.
        sizes: (height, width) that the mask may have.

    Raises:
        UnnoiseError: for a file that is missing or damaged, or a mask of another size.
    """
    with quiet_pillow:
        size = picture_size(path)
        require(
            size in sizes,
            f"A mask is of the size of its picture, {' or '.join(f'{h}x{w}' for h, w in dict.fromkeys(sizes))} "
            f"(height x width), but {path} is {size[0]}x{size[1]}: draw it over the picture.",
        )
        whole = _decoded(path, Settings(size, 1))[..., 0]
        sharp = Image.fromarray(np.where(whole >= 128, 255, 0).astype(np.uint8))
        own = Settings(settings.size, 1, settings.fit, (255, 255, 255))
        return np.asarray(fit_picture(sharp, own)) >= _WHITE


def picture_size(path: Path) -> tuple[int, int]:
    """(height, width) of a picture file, upright; raises UnnoiseError where there is none."""
    _require_file(path)
    try:
        with path.open("rb") as file, quiet_pillow:
            return read_header(file).size
    except (UnreadableError, OSError) as error:
        raise _unreadable(path, error) from error


def _file(path: Path, settings: Settings) -> NDArray[np.uint8]:
    return _decoded(path, settings)[None]


def _decoded(path: Path, settings: Settings) -> NDArray[np.uint8]:
    _require_file(path)
    require(
        path.stat().st_size <= LARGEST_FILE,
        f"A file with a picture has at most {LARGEST_FILE // 2**20} MB, but {path} is larger: make it smaller.",
    )
    try:
        return decode(path.read_bytes(), settings)
    except (UnreadableError, OSError) as error:
        raise _unreadable(path, error) from error


def _array(path: Path, settings: Settings) -> NDArray[np.uint8]:
    _require_file(path)
    origin = array_file(str(path), path)
    channels = origin.array.shape[3]
    require(
        channels == settings.known_channels(),
        f"An array of pictures keeps its channels, and {settings.known_channels()} are needed, but {path} has "
        f"{channels}: convert it, or save the pictures as .png.",
    )
    with closing(origin.batches(settings)) as batches:
        return np.concatenate([batch.pixels for batch in batches if batch.pixels is not None])


def _require_file(path: Path) -> None:
    require(path.is_file(), f"A picture is a file, but there is none at {path}: check the spelling.")


def _unreadable(path: Path, error: Exception) -> UnnoiseError:
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return UnnoiseError(f"A picture has to be readable, but {path} is not ({reason}): save it anew as .png.")
