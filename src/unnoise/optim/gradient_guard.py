r"""A step whose loss or gradient is no number moves nothing: no weight, no average, no optimiser's memory.

    |g| = sqrt(sum_i |g_i|^2)

is a finite number only if all of the gradient is. On the CPU reading it is free, and the step ends there. On
CUDA reading it would make the processor wait for the device in each step: there the step goes on with a
gradient of zeros, and whoever reads its norm later (see `guards`) goes back to before it.
"""

from collections.abc import Sequence
from typing import TypeAlias

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

Scalar: TypeAlias = Float[Tensor, ""]

_BITS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


class Shield:
    """Stands between the backward pass of a network and all that it moves.

    Args:
        network: bare of whatever a distributed run wraps around it. The statistics of its BatchNorms move with
            the forward pass already: those are put back.
        optimizer: of its parameters.
    """

    def __init__(self, network: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        self._parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        self._statistics = [buffer for buffer in network.buffers() if buffer.is_floating_point()]
        self._kept = [buffer.clone() for buffer in self._statistics]

    @torch.no_grad()
    def gradient_norm(self, loss: Scalar, longest: float | None) -> Scalar:
        """The length of the gradient, which is shortened to `longest`; not finite where the loss is not."""
        norm = nn.utils.get_total_norm(self._gradients)
        if longest is not None:
            nn.utils.clip_grads_with_norm_(self._parameters, longest, norm)
        return torch.where(loss.isfinite(), norm, loss.to(norm))

    @property
    def _gradients(self) -> list[Tensor]:
        return [parameter.grad for parameter in self._parameters if parameter.grad is not None]

    @torch.no_grad()
    def keep(self) -> None:
        """Before the forward pass."""
        if self._kept:
            torch._foreach_copy_(self._kept, self._statistics)

    @torch.no_grad()
    def passes(self, norm: Scalar) -> bool:
        """After the backward pass: whether to go on with the step; if so, the gradient is finite by now."""
        finite = norm.isfinite()
        if norm.device.type == "cuda":
            self.silence(finite)
            return True
        if not finite and self._kept:
            torch._foreach_copy_(self._statistics, self._kept)
        return bool(finite)

    @torch.no_grad()
    def silence(self, finite: Bool[Tensor, ""]) -> None:
        """Without waiting for the device: unless `finite`, the gradient is 0 and the statistics are as kept."""
        _times(self._gradients, finite)
        if self._kept:
            _times(self._statistics, finite)
            _times(self._kept, ~finite)
            torch._foreach_add_(self._statistics, self._kept)


def _times(tensors: Sequence[Tensor], wanted: Bool[Tensor, ""]) -> None:
    """Leaves tensors exactly as they are, or makes them 0: nan times 0 is nan, but its bits times 0 are 0."""
    if tensors:
        bits = [tensor.view(_BITS[tensor.element_size()]) for tensor in tensors]
        torch._foreach_mul_(bits, wanted.to(bits[0].dtype))
