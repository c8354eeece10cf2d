"""A device with too little memory, by fault injection: networks that fail as PyTorch does on each device."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

from unnoise.networks.unet import UNet

COMPLAINTS: dict[str, Callable[[], Exception]] = {
    "cuda": lambda: torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    "cpu": lambda: RuntimeError(
        "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you tried "
        "to allocate 4096 bytes. Error code 12 (Cannot allocate memory)"
    ),
    "oneDNN": lambda: RuntimeError("could not create a primitive"),
    "mps": lambda: RuntimeError("MPS backend out of memory (MPS allocated: 9.06 GB, max allowed: 9.07 GB)."),
    "host": MemoryError,
}
"""How memory runs out, by place."""


class ScarceMemory:
    """In which the U-Net takes only so many images at once; `calls` are the sizes of all batches, `failed` too.

    Args:
        patches: undo it after the test.
        training: most images of a step; None for any number.
        sampling: most images of a network in eval mode.
        differentiating: the same, where its input is differentiated.
        complaint: what is raised.
        backward: whether it is the backward pass that fails, as it needs more than the forward pass.
        first_step: calls in training before this one succeed at any size.
    """

    def __init__(
        self,
        patches: pytest.MonkeyPatch,
        *,
        training: int | None = None,
        sampling: int | None = None,
        differentiating: int | None = None,
        complaint: Callable[[], Exception] = COMPLAINTS["cuda"],
        backward: bool = False,
        first_step: int = 0,
    ) -> None:
        self.calls: dict[bool, list[int]] = {True: [], False: []}
        self.failed: list[int] = []
        forward = UNet.forward

        def scarce(network: nn.Module, noisy_images: torch.Tensor, *told: object, **more: object) -> object:
            learns, count = network.training, len(noisy_images)
            self.calls[learns].append(count)
            limit = training if learns else differentiating if noisy_images.requires_grad else sampling
            fails = limit is not None and count > limit and (not learns or len(self.calls[True]) > first_step)

            def fail(*_: object) -> None:
                self.failed.append(count)
                raise complaint()

            if fails and not (learns and backward):
                fail()
            output = forward(network, noisy_images, *told, **more)
            if fails and output.requires_grad:
                output.register_hook(fail)
            return output

        patches.setattr(UNet, "forward", scarce)
