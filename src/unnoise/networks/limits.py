"""Limits on the size of a network, checked before any of it is allocated."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import nn

from unnoise.utils.errors import require

MAX_WIDTH = 65_536
"""Largest width, number of channels and embedding dimension."""
MAX_LEVELS = 16
MAX_BLOCKS = 64
MAX_CLASSES = 1_000_000
UNCHECKED_PARAMETERS = 50_000_000
"""A network is not counted where even a generous upper bound on its parameters is at most this."""
CONTAINER_LIMIT = Path("/sys/fs/cgroup/memory.max")
"""Where Linux says how much memory the processes of a container may use."""
_BYTES_PER_PARAMETER = 8
"""In float32: the weights and their moving average."""


def require_between(name: str, value: int, least: int, most: int) -> None:
    """Raises `UnnoiseError` unless a whole number is from `least` to `most`."""
    require(least <= value <= most, f"{name} must be from {least:,} to {most:,}, but got {value:,}.")


def require_classes(network: str, clusters: bool, num_classes: int) -> None:
    """Raises `UnnoiseError` for a network that knows clusters, but does not say how many."""
    require(
        num_classes > 0 or not clusters,
        f"{network}'s clusters need num_classes, their number, but that is 0. Try num_classes=64.",
    )


def require_fits_in_memory(make: Callable[[], nn.Module], widths: Sequence[int], depth: int) -> None:
    """Raises `UnnoiseError` where a network and its average are larger than the machine's memory.

    A network that may be large is built without memory (on the meta device), and its parameters are counted.

    Args:
        make: builds the network.
        widths: all large dimensions in it.
        depth: blocks at each level.
    """
    available = total_memory()
    if available is None or 100 * depth * sum(widths) ** 2 <= UNCHECKED_PARAMETERS:
        return
    with torch.device("meta"):
        parameters = sum(parameter.numel() for parameter in make().parameters())
    needed = parameters * _BYTES_PER_PARAMETER
    require(
        needed <= available,
        f"This network has {parameters:,} parameters: with their average they take {needed / 1e9:,.0f} GB, but "
        f"this machine has {available / 1e9:,.0f} GB of memory. Choose smaller widths.",
    )


def total_memory() -> int | None:
    """Bytes of this machine's memory, or of what its container may use; None where the system does not say."""
    try:
        machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):  # Windows has no sysconf
        return None
    try:
        return min(machine, int(CONTAINER_LIMIT.read_text()))
    except (OSError, ValueError):  # no container, or one without a limit: max
        return machine
