"""What a device can do at most is measured, and what a step asks of it is counted."""

import time
from collections.abc import Callable
from statistics import median
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

_TURNS = 9
_SIDES = {"cuda": 8192}
"""Of the matrices; other devices multiply 2048 x 2048."""


def roof(device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32, turns: int = _TURNS) -> float:
    """GFLOP/s of a large product of matrices in this precision: what no network exceeds by much.

    The median of some. On CUDA float32 is multiplied as its convolutions are, in TF32 where that is allowed.
    """
    device = torch.device(device)
    side = _SIDES.get(device.type, 2048)
    # A generator of its own, so that nobody else's numbers change.
    left = torch.randn(side, side, generator=torch.Generator().manual_seed(0)).to(device, dtype)
    as_convolutions = torch.backends.cuda.matmul.allow_tf32
    if device.type == "cuda":
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32
    try:
        taken = [_seconds(left) for _ in range(turns + 1)][1:]  # the first one makes room
    finally:
        torch.backends.cuda.matmul.allow_tf32 = as_convolutions
    return 2 * side**3 / median(taken) / 1e9


def _seconds(left: torch.Tensor) -> float:
    finish(left.device)
    started = time.perf_counter()
    torch.mm(left, left)
    finish(left.device)
    return time.perf_counter() - started


def finish(device: torch.device) -> None:
    """Waits until a device has done all that it was told."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def flops(step: Callable[[], object]) -> float:
    """Of a step, forward and backward, as PyTorch counts them: products and convolutions."""
    counter = FlopCounter()
    with counter:
        step()
    return counter.flops


class FlopCounter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts what is multiplied while it is entered, and only looks on.

    PyTorch's `FlopCounterMode` has the formulas, but computes some operators in parts, which rounds otherwise.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.flops = 0.0

    def __torch_dispatch__(
        self,
        func: Any,  # noqa: ANN401 (any operator)
        _types: object,
        args: tuple[object, ...] = (),
        kwargs: dict[str, object] | None = None,
    ) -> object:
        """An operator's own answer."""
        found = func(*args, **(kwargs or {}))
        formula = flop_registry.get(func._overloadpacket)
        if formula is not None:
            self.flops += formula(*args, **(kwargs or {}), out_val=found)
        return found
