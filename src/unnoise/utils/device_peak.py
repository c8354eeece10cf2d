"""Peak speed of a device: the most that its own libraries reach, over the operations that networks consist of.

A matrix product alone is no peak: on AMD processors convolutions, which oneDNN computes, are up to 2.5 times as
fast as products, which MKL computes.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from statistics import median
from typing import NamedTuple

import torch
from torch.nn import functional

from unnoise.utils.device_speed import synchronize

_REPETITIONS = 5
_SLOW = 0.1
"""An operation that reaches less than this share of the best so far in its first call is not repeated."""
_ON_GPU = 16
"""So many times the rows or pictures keep a GPU busy."""


class Peak(NamedTuple):
    """The highest speed that was reached, and the operation that reached it."""

    gflops: float
    """GFLOP/s: 10^9 additions and multiplications a second."""
    operation: str


class _Operation(NamedTuple):
    name: str
    flops: float
    run: Callable[[], torch.Tensor]


def device_peak(
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    repetitions: int = _REPETITIONS,
    clock: Callable[[], float] = time.perf_counter,
) -> Peak:
    """The practical peak of a device in this precision.

    The best of a matrix product, a dense layer, a 1x1 and several 3x3 convolutions, of sizes as in our networks
    and with the channels last; of each the median of several calls. On CUDA, float32 products use TF32 exactly
    where convolutions may.

    Args:
        device, dtype: what computes, and in which precision.
        repetitions: calls of each operation, after one that allocates.
        clock: seconds.
    """
    device, best = torch.device(device), Peak(0.0, "nothing")
    with torch.no_grad(), _one_tf32(device):
        for operation in _operations(device, dtype):
            taken = [_seconds(operation.run, device, clock)]  # allocates
            if operation.flops / taken[0] / 1e9 >= _SLOW * best.gflops:
                taken = [_seconds(operation.run, device, clock) for _ in range(repetitions)]
            found = Peak(operation.flops / median(taken) / 1e9, operation.name)
            best = max(best, found)
    return best


def _operations(device: torch.device, dtype: torch.dtype) -> Iterator[_Operation]:
    more = 1 if device.type == "cpu" else _ON_GPU
    # A generator of its own, so that the global random state stays as it is.
    generator = torch.Generator().manual_seed(0)

    def random(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator).to(device, dtype)

    for channels, side, pictures in ((512, 8, 16), (256, 16, 8), (192, 8, 64), (96, 16, 64), (48, 32, 64)):
        pixels = random(more * pictures, channels, side, side).to(memory_format=torch.channels_last)
        weight = random(channels, channels, 3, 3).to(memory_format=torch.channels_last)
        flops = 18.0 * channels**2 * side**2 * len(pixels)
        run = partial(functional.conv2d, pixels, weight, padding=1)
        yield _Operation(f"a 3x3 convolution of {channels} channels", flops, run)
    pixels, weight = random(16 * more, 512, 16, 16).to(memory_format=torch.channels_last), random(512, 512)
    flops, rows = 2.0 * 512**2 * 256 * len(pixels), pixels.permute(0, 2, 3, 1).flatten(0, 2)
    run = partial(functional.conv2d, pixels, weight[:, :, None, None])
    yield _Operation("a 1x1 convolution of 512 channels", flops, run)
    yield _Operation("a dense layer of 512 features", flops, partial(functional.linear, rows, weight))
    side = 1024 if device.type == "cpu" else 8192
    matrix = random(side, side)
    yield _Operation(f"a product of {side} x {side} matrices", 2.0 * side**3, partial(torch.mm, matrix, matrix))


@contextmanager
def _one_tf32(device: torch.device) -> Iterator[None]:
    before = torch.backends.cuda.matmul.allow_tf32
    if device.type == "cuda":
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before


def _seconds(run: Callable[[], object], device: torch.device, clock: Callable[[], float]) -> float:
    synchronize(device)
    started = clock()
    run()
    synchronize(device)
    return clock() - started
