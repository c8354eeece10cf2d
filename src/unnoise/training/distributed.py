"""Distributed training by Accelerate: rank 0 decides and writes, all ranks train and draw samples."""

from collections.abc import Callable
from contextlib import AbstractContextManager

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast
from jaxtyping import Float
from torch import Tensor

from unnoise.diffusion.diffusion import Diffusion
from unnoise.diffusion.tensors import Images, Scalar
from unnoise.utils.errors import UnnoiseError
from unnoise.utils.out_of_memory import DoesNotFitError

_WHOLE = 1_000_000_000
"""Fractions are sent in billionths: float32 would round a budget that is nearly spent up to spent."""

_END, _AGAIN = -1, -2
"""What rank 0 sends in place of a fraction at the end of a stretch. -2 - 2 n asks for n samples, one less for n
samples with all steps."""


class AccelerateGroup:
    """The processes of one training run, by Accelerate; see `process_group.ProcessGroup`."""

    def __init__(self, accelerator: Accelerator, no_sync: Callable[[], AbstractContextManager[object]]) -> None:
        self._accelerator = accelerator
        self._no_sync = no_sync

    @property
    def size(self) -> int:
        """Number of processes."""
        return int(self._accelerator.num_processes)

    def backward(self, loss: Scalar) -> None:
        """Adds the gradients of the loss, averaged over the processes unless inside `no_sync`."""
        self._accelerator.backward(loss)

    def no_sync(self) -> AbstractContextManager[object]:
        """Inside, gradients are added up within each process, and not averaged yet."""
        return self._no_sync()

    def mean(self, values: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        """All-reduce: the mean over the processes, the same in each."""
        reduced: Tensor = self._accelerator.reduce(values, "mean")
        return reduced

    def gather(self, values: Float[Tensor, " part"]) -> Float[Tensor, " whole"]:
        """All-gather: the values of all processes in order of rank, the same in each."""
        gathered: Tensor = self._accelerator.gather(values.to(self._accelerator.device))
        return gathered


def distribute(diffusion: Diffusion, accelerator: Accelerator) -> None:
    """Wraps network and optimiser by Accelerate, where there are several processes."""
    network = accelerator.prepare_model(diffusion.denoiser.network, device_placement=False)
    diffusion.denoiser.network, weights = network, diffusion.weights
    weights.optimizer = accelerator.prepare_optimizer(weights.optimizer, device_placement=False)
    if accelerator.num_processes > 1:
        weights.group = AccelerateGroup(accelerator, network.no_sync)


def agreed(accelerator: Accelerator, number: float) -> float:
    """One number in all processes: the mean of the number in each."""
    if accelerator.num_processes == 1:
        return number
    mean: Tensor = accelerator.reduce(torch.tensor(number, device=accelerator.device), "mean")
    return float(mean)


class Coordinator:
    """Keeps the ranks of a run in step: rank 0 decides, the others follow.

    Before each step rank 0 broadcasts the fraction of the budget that is spent, or that all ranks are to draw
    samples first. Each rank draws the samples of its own seeds, so a sheet does not depend on their number.

    Args:
        accelerator: the processes.
        draw: (places of the sheet, whether to draw with all steps) -> samples, (B, C, H, W).
    """

    def __init__(self, accelerator: Accelerator, draw: Callable[[range, bool], Images]) -> None:
        self._accelerator = accelerator
        self._draw = draw
        self._ended = self._again = False

    @property
    def alone(self) -> bool:
        """Whether there is only one process."""
        return bool(self._accelerator.num_processes == 1)

    def spent(self, fraction: Callable[[], float]) -> float:
        """The fraction of the budget as rank 0 measures it; other ranks draw samples until they receive it."""
        if self.alone:
            return fraction()
        if self._accelerator.is_main_process:
            return self._broadcast(int(min(1.0, fraction()) * _WHOLE)) / _WHOLE
        return self._follow()

    def pictures(self, count: int, fine: bool) -> Images:
        """The first `count` samples of the sheet, drawn by all ranks; called on rank 0."""
        if self.alone:
            return self._draw(range(count), fine)
        self._broadcast(_AGAIN - 2 * count - fine)
        return self._drawn(count, fine)

    def end(self, *, again: bool) -> bool:
        """Ends this stretch on all ranks, to go on from an older state or for good; called on rank 0."""
        if not self.alone:
            self._broadcast(_AGAIN if again else _END)
        self._ended, self._again = True, again
        return again

    def __enter__(self) -> "Coordinator":
        """On rank 0, around everything that it does with the other ranks."""
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        # After any other error the other ranks wait within a step: their launcher ends them.
        orderly = kind is None or issubclass(kind, GeneratorExit | UnnoiseError)
        if not self._ended and orderly and not (kind and issubclass(kind, DoesNotFitError)):
            self.end(again=False)

    def stay(self) -> bool:
        """On other ranks: draws samples until rank 0 ends; returns whether to go on from an older state."""
        while not self._ended:
            self._follow()
        return self._again

    def _follow(self) -> float:
        while (told := self._broadcast(0)) < _AGAIN:
            self._drawn(*divmod(_AGAIN - told, 2))
        self._ended, self._again = told < 0, told == _AGAIN
        return 1.0 if self._ended else told / _WHOLE

    def _broadcast(self, number: int) -> int:
        return int(broadcast(torch.tensor(number, device=self._accelerator.device)))

    def _drawn(self, count: int, fine: int) -> Images:
        processes, rank = self._accelerator.num_processes, self._accelerator.process_index
        share = -(-count // processes)  # of each; what the last ones draw too much is cut off
        mine = self._draw(range(rank * share, (rank + 1) * share), bool(fine))
        gathered: Tensor = self._accelerator.gather(mine)
        return gathered[:count]
