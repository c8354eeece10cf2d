"""Precision of a network's arithmetic, and which of them a device computes fast.

    float32     numbers and products in float32
    tf32        float32, but CUDA devices round what they multiply to TF32 (10 bits after the point)
    bfloat16    the network in bfloat16 (7 bits after the point) by autocast, and TF32 for the rest

Weights, losses, optimiser and averages are float32 in all of them. CPUs and MPS have no TF32: there `tf32` is
float32.
"""

import time
from dataclasses import dataclass
from functools import cache
from typing import Literal

import torch
from torch.nn import functional

Precision = Literal["float32", "tf32", "bfloat16"]


@dataclass(frozen=True, kw_only=True)
class DeviceCapabilities:
    """What a device can do, as far as the defaults of a run depend on it.

    Args:
        type: cpu, cuda, mps or another.
        bfloat16: whether its matrix units take bfloat16 as they are; others convert, and are slower for it.
    """

    type: str = "cpu"
    bfloat16: bool = False

    @classmethod
    def of(cls, device: torch.device | str) -> "DeviceCapabilities":
        """Those of a device of this machine."""
        device = torch.device(device)
        if device.type != "cuda":
            return cls(type=device.type)
        with torch.cuda.device(device):
            return cls(type="cuda", bfloat16=torch.cuda.is_bf16_supported(including_emulation=False))

    @property
    def default_precision(self) -> Precision:
        """The fastest precision that trains as well as float32; on MPS that is float32.

        On CPUs it is measured with the network of a run, see `trainer.precision_choice`; until then, float32.
        """
        if self.type != "cuda":
            return "float32"
        return "bfloat16" if self.bfloat16 else "tf32"


CPU = DeviceCapabilities()

FASTER = 1.15
"""bfloat16 is chosen where it is so many times as fast: for less it isn't worth the rounding."""


@cache
def bfloat16_is_fast() -> bool:
    """Whether this machine's CPU computes a convolution in bfloat16 as fast as in float32, measured in a blink.

    Processors without such units convert each number, and take up to 200 times as long. Those with them take
    half as long: so what else the machine does hardly matters.
    """
    images, weight = torch.ones(4, 64, 16, 16), torch.ones(64, 64, 3, 3)
    images = images.to(memory_format=torch.channels_last)
    weight = weight.to(memory_format=torch.channels_last)

    def seconds(dtype: torch.dtype) -> float:
        started = time.perf_counter()
        functional.conv2d(images.to(dtype), weight.to(dtype), padding=1)
        return time.perf_counter() - started

    with torch.no_grad():
        turns = [(seconds(torch.float32), seconds(torch.bfloat16)) for _ in range(6)]
    return min(whole for whole, _ in turns) >= min(half for _, half in turns)


def set_tf32(device: torch.device | str, precision: Precision) -> None:
    """Lets CUDA devices use TF32 for matrix products and convolutions, or not, as the precision says.

    PyTorch's setting is one for all of the process. Elsewhere nothing changes.
    """
    if torch.device(device).type == "cuda":
        torch.set_float32_matmul_precision("highest" if precision == "float32" else "high")
        torch.backends.cudnn.allow_tf32 = precision != "float32"
