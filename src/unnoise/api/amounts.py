"""Checks that as many pictures as were asked for can be drawn, made before the first of them is."""

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from unnoise.api.output_paths import ANIMATIONS, is_folder
from unnoise.utils.errors import require

if TYPE_CHECKING:
    from unnoise.runs.config import RunConfig

_FLOAT = 4
"""Bytes of a number in float32."""
_SMALLEST_PNG = 70
"""Bytes, at least, of a PNG."""
_COMPRESSION = 50
"""A PNG of a generated picture is not smaller than a fiftieth of its pixels."""


def check_seeds(first: int, number: int) -> None:
    """Checks the seeds of `number` pictures, counted from the first one.

    Raises:
        UnnoiseError: for fewer than one picture, or a seed outside 0 ... 2^63 - 1.
    """
    from unnoise.diffusion.seeds import require_seeds

    require(number >= 1, f"At least 1 image can be generated, but {number} were asked for.")
    require_seeds([first])
    last = first + number - 1
    require(
        last < 2**63,
        f"{number:,} pictures from seed {first} on need seeds up to {last}, but the largest is 2^63 - 1: lower "
        "--seed or draw fewer.",
    )


def check_memory(config: "RunConfig", number: int, each: int = 1) -> None:
    """Checks that `number` pictures, with `each` intermediate ones, can be held in the machine's memory.

    Raises:
        UnnoiseError: when they cannot.
    """
    from unnoise.networks import limits

    channels, height, width = config.data.image_shape
    needed, available = number * each * channels * height * width * _FLOAT, limits.total_memory()
    require(
        available is None or needed <= available,
        f"{number:,} pictures take {_size(needed)} of memory at once, but this machine has "
        f"{_size(available or 0)}: draw fewer, or write them into a folder by several commands.",
    )


def check_output(config: "RunConfig", number: int, path: Path, num_steps: int) -> None:
    """Checks that `number` new pictures can be held in memory, or in a folder on the disk.

    Args:
        config: of the run that draws them.
        number: of the pictures.
        path: what they are written to; animations also hold every step.
        num_steps: steps from noise to picture.

    Raises:
        UnnoiseError: when there is not enough memory, disk or room for files.
    """
    if not is_folder(path):
        check_memory(config, number, num_steps + 1 if path.suffix.lower() in ANIMATIONS else 1)
        return
    place = next(folder for folder in (path, *path.resolve().parents) if folder.is_dir())
    channels, height, width = config.data.image_shape
    needed, free = (
        number * (_SMALLEST_PNG + channels * height * width // _COMPRESSION),
        shutil.disk_usage(place).free,
    )
    require(
        needed <= free,
        f"{number:,} pictures take more than {_size(needed)}, but {_size(free)} are free at {place}: draw "
        "fewer, or choose another --out.",
    )
    files = os.statvfs(place).f_favail if hasattr(os, "statvfs") else 0
    require(  # 0: the file system does not count them
        not files or number <= files,
        f"{number:,} files are more than the {files:,} that can still be made at {place}: write an .npz.",
    )


def _size(number: int) -> str:
    for unit, name in ((10**18, "EB"), (10**15, "PB"), (10**12, "TB"), (10**9, "GB"), (10**6, "MB")):
        if number >= unit:
            return f"{number / unit:,.3g} {name}" if number < 1000 * unit else f"{number // unit:,} {name}"
    return f"{number:,} bytes"


def ran_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, on any device."""
    from unnoise.utils.out_of_memory import is_out_of_memory  # here, since it imports PyTorch

    return is_out_of_memory(error)
