"""Cores that this process may use: those that it is bound to, or fewer where a container has a quota."""

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

QUOTA = Path("/sys/fs/cgroup/cpu.max")
"""Where Linux says how many microseconds of how many the processes of a container may compute (cgroup v2)."""


def usable_cores() -> int:
    """The number of cores that threads of this process can keep busy, at least 1."""
    bound = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with suppress(OSError, ValueError, ZeroDivisionError):  # most machines have no such file, or "max" in it
        quota, period = map(int, QUOTA.read_text(encoding="ascii").split())
        return max(1, min(bound, round(quota / period)))
    return bound


def use_own_cores(device: "torch.device") -> None:
    """Gives PyTorch on the CPU no more threads than there are cores; what OMP_NUM_THREADS says stays.

    PyTorch takes all cores that it sees. Where a container may use 2 of 64, their threads wait for one another.
    """
    import torch

    if device.type == "cpu" and "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(min(torch.get_num_threads(), usable_cores()))
