"""A network that no memory holds is refused before anything of it is made."""

import os
from collections.abc import Callable, Sequence

import torch
from torch import nn

from unnoise.utils.errors import require

LARGEST = 65_536
"""Of a width, of channels, of an embedding."""
MOST_LEVELS = 16
MOST_BLOCKS = 64
MOST_CLASSES = 1_000_000
_CERTAINLY_SMALL = 50_000_000
"""Parameters, by a bound that is far too high: below this it is not worth counting."""
_BYTES_EACH = 8
"""In float32: the weights and their average."""


def require_between(what: str, value: int, least: int, most: int) -> None:
    """Raises `UnnoiseError` unless a whole number of a network lies within these."""
    require(least <= value <= most, f"{what} is from {least:,} to {most:,}, but got {value:,}.")


def require_room(make: Callable[[], nn.Module], widths: Sequence[int], depth: int) -> None:
    """Raises `UnnoiseError` where a network and its average are larger than the machine's memory.

    One of large widths or depth is made for that without memory, and its parameters are counted.

    Args:
        make: makes it.
        widths: of whatever is wide in it.
        depth: how often.
    """
    there = memory()
    if there is None or 100 * depth * sum(widths) ** 2 <= _CERTAINLY_SMALL:
        return
    with torch.device("meta"):
        parameters = sum(parameter.numel() for parameter in make().parameters())
    require(
        parameters * _BYTES_EACH <= there,
        f"A network and its average must fit into memory, but this one has {parameters:,} parameters, which "
        f"take {parameters * _BYTES_EACH / 1e9:,.0f} GB, and there are {there / 1e9:,.0f}: lower its widths.",
    )


def memory() -> int | None:
    """Bytes of this machine's memory, as far as the system tells."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):  # Windows has no sysconf
        return None
