"""Precision of a network's arithmetic, and which of them a device computes fast.

    float32     numbers and products in float32
    tf32        float32, but CUDA devices round what they multiply to TF32 (10 bits after the point)
    bfloat16    the network in bfloat16 (7 bits after the point) by autocast, and TF32 for the rest

Weights, losses, optimiser and averages are float32 in all of them. CPUs and MPS have no TF32: there `tf32` is
float32.
"""

from dataclasses import dataclass
from typing import Literal

import torch

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
        """The fastest precision that trains as well as float32; on CPUs and MPS that is float32."""
        if self.type != "cuda":
            return "float32"
        return "bfloat16" if self.bfloat16 else "tf32"


CPU = DeviceCapabilities()


def set_tf32(device: torch.device | str, precision: Precision) -> None:
    """Lets CUDA devices use TF32 for matrix products and convolutions, or not, as the precision says.

    PyTorch's setting is one for all of the process. Elsewhere nothing changes.
    """
    if torch.device(device).type == "cuda":
        torch.set_float32_matmul_precision("highest" if precision == "float32" else "high")
        torch.backends.cudnn.allow_tf32 = precision != "float32"
