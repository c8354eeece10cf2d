"""Deterministic kernels: equal seeds give equal bits on one device, where some kernels add in any order."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch.backends import cudnn

from unnoise.utils.errors import UnnoiseError


@contextmanager
def deterministic_kernels(wanted: bool) -> Iterator[None]:
    """Context in which PyTorch takes deterministic kernels alone, or nothing changes; a CPU has no others.

    Raises:
        UnnoiseError: where a part of the network has no such kernel on this device.
    """
    if not wanted:
        yield
        return
    before = torch.are_deterministic_algorithms_enabled(), cudnn.benchmark
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read by cuBLAS at its first product
    _set(True, False)
    try:
        yield
    except RuntimeError as error:
        if "deterministic" not in str(error):
            raise
        reason = str(error).splitlines()[0].rstrip(".")
        raise UnnoiseError(
            f"This network cannot be trained with --deterministic here ({reason}). Start a new run without it."
        ) from error
    finally:
        _set(*before)


def _set(only: bool, benchmark: bool) -> None:
    torch.use_deterministic_algorithms(only)
    cudnn.benchmark = benchmark
