"""Random pictures as data sets for benchmarks: a folder of PNGs, or one .npy file."""

from pathlib import Path

import numpy as np
from PIL import Image

from unnoise.api.reporting import progress_bar

_PIECE = 10_000
"""Pictures of a file that are drawn at once."""


def png_folder(folder: Path, count: int, side: int = 64) -> Path:
    """Writes so many PNGs in colour: different crops of smooth noise, 1,000 in a subfolder."""
    numbers = np.random.default_rng(0)
    coarse = Image.fromarray(numbers.integers(0, 256, (256, 256, 3), np.uint8)).resize((2048, 2048))
    whole = np.asarray(coarse)
    with progress_bar("Writing pictures", count) as bar:
        for number in range(count):
            path = folder / f"{number // 1000:03d}" / f"{number:06d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            top, left = numbers.integers(0, 2048 - side, 2)
            Image.fromarray(whole[top : top + side, left : left + side]).save(path, compress_level=1)
            bar.advance(1)
    return folder


def npy_file(path: Path, count: int, side: int) -> None:
    """Writes a .npy file of so many grey pictures of noise, piece by piece."""
    array = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=(count, side, side, 1))
    numbers = np.random.default_rng(0)
    for first in range(0, count, _PIECE):
        piece = array[first : first + _PIECE]
        piece[:] = numbers.integers(0, 256, piece.shape, np.uint8)
    array.flush()
