r"""Weight update: what happens to the weights in a training step after the backward pass.

The gradient is checked and clipped, the optimiser moves the weights, and the averages follow. A step whose loss
or gradient is not finite changes nothing: no weight, no average, no state of the optimiser.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TypeAlias

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.profiler import record_function

from unnoise.optim.ema import EMAConfig, MovingAverage
from unnoise.optim.muon import Muon
from unnoise.optim.optimizers import OptimizerConfig
from unnoise.optim.power_ema import PowerAverages
from unnoise.optim.process_group import ProcessGroup
from unnoise.utils.device_speed import PROFILER_RANGES
from unnoise.utils.errors import UnnoiseError
from unnoise.utils.out_of_memory import is_out_of_memory
from unnoise.utils.precision import Precision

Scalar: TypeAlias = Float[Tensor, ""]

_BITS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


class WeightUpdate:
    r"""Optimiser, gradient guard and averages of one network.

    The norm of the gradient, |g| = sqrt(sum_i |g_i|^2), is finite only if all of the gradient is. With
    `host_sync` the host reads it, and the step ends there if it is not. On a GPU that would make the host wait
    for the device in each step: there the gradient is set to zero instead, and the guards of a run, which read
    the norm later, go back to an earlier state.

    Args:
        network: bare of what a distributed run wraps around it.
        optimizer: which optimiser, its learning rate, and the longest gradient.
        ema: the moving averages that follow the network.
    """

    def __init__(self, network: nn.Module, optimizer: OptimizerConfig, ema: EMAConfig) -> None:
        self.average = MovingAverage(network, ema)
        self.profiles = PowerAverages(network, ema.profiles, ema.profile_every)
        self.config = optimizer
        self.optimizer: torch.optim.Optimizer = optimizer.build(network)
        self.group: ProcessGroup | None = None
        """The processes that train together; None for one process."""
        self.host_sync = all(parameter.device.type == "cpu" for parameter in network.parameters())
        self._parameters = [each for group in self.optimizer.param_groups for each in group["params"]]
        # BatchNorm's statistics move in the forward pass already: a step that fails puts them back.
        self._statistics = [buffer for buffer in network.buffers() if buffer.is_floating_point()]
        self._kept = [buffer.clone() for buffer in self._statistics]

    def set_precision(self, precision: Precision) -> None:
        """Sets the precision in which Muon orthogonalises: that of the network."""
        if isinstance(self.optimizer, Muon):
            self.optimizer.half = precision == "bfloat16"

    def set_learning_rate(self, learning_rate: float) -> None:
        """Sets the learning rate of the next steps."""
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate

    @torch.no_grad()
    def begin(self) -> None:
        """Before the forward pass: keeps a copy of BatchNorm's statistics, and clears the gradients."""
        if self._kept:
            torch._foreach_copy_(self._kept, self._statistics)
        self.optimizer.zero_grad(set_to_none=True)

    @torch.no_grad()
    def cancel(self) -> None:
        """Where an error ends a step before the weights move: clears the gradients, puts statistics back."""
        if self._kept:
            torch._foreach_copy_(self._statistics, self._kept)
        self.optimizer.zero_grad(set_to_none=True)

    def backward(self, loss: Scalar) -> None:
        """Adds the gradients of a loss, averaged over the processes."""
        if self.group is not None:
            self.group.backward(loss)
        else:
            loss.backward()  # type: ignore[no-untyped-call]

    @torch.no_grad()
    def step(self, loss: Scalar) -> Scalar:
        """After the backward pass: moves the weights and their averages, if loss and gradient are finite.

        Returns:
            The norm of the gradient before clipping; not finite where the loss is not.

        Raises:
            UnnoiseError: where memory runs out while the weights move; they must not be used any more.
        """
        with record_function(PROFILER_RANGES["guards"]):
            gradients = [parameter.grad for parameter in self._parameters if parameter.grad is not None]
            norm = nn.utils.get_total_norm(gradients)
            if self.config.max_gradient_norm is not None:
                nn.utils.clip_grads_with_norm_(self._parameters, self.config.max_gradient_norm, norm)
            norm = torch.where(loss.isfinite(), norm, loss.to(norm))
            finite = norm.isfinite()
            if not self.host_sync:
                self._cancel_unless(finite, gradients)
            elif not finite:
                if self._kept:
                    torch._foreach_copy_(self._statistics, self._kept)
                return norm
        with _in_one_piece():
            self.optimizer.step()
            if self.group is not None:
                for statistics in self._statistics:
                    statistics.copy_(self.group.mean(statistics))
            with record_function(PROFILER_RANGES["averages"]):
                self.average.update()
                if self.profiles.sigma_rels:
                    self.profiles.update()
        return norm

    def _cancel_unless(self, finite: Bool[Tensor, ""], gradients: Sequence[Tensor]) -> None:
        """Unless `finite`, sets the gradient to 0 and the statistics back, without waiting for the device."""
        _keep_or_zero(gradients, finite)
        if self._kept:
            _keep_or_zero(self._statistics, finite)
            _keep_or_zero(self._kept, ~finite)
            torch._foreach_add_(self._statistics, self._kept)


@contextmanager
def _in_one_piece() -> Iterator[None]:
    """Context of work that can be neither cut nor repeated: says so where memory runs out inside."""
    try:
        yield
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        raise UnnoiseError(
            "The optimiser and the averages do not fit into memory beside the weights. Choose a smaller "
            "--preset, or a device with more memory; --resume goes on from the last state that was saved."
        ) from None


def _keep_or_zero(tensors: Sequence[Tensor], keep: Bool[Tensor, ""]) -> None:
    """Leaves tensors exactly as they are, or makes them 0: nan times 0 is nan, but its bits times 0 are 0."""
    if tensors:
        bits = [tensor.view(_BITS[tensor.element_size()]) for tensor in tensors]
        torch._foreach_mul_(bits, keep.to(bits[0].dtype))
