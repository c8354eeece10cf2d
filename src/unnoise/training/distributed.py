"""Of several processes the first decides and writes, and all of them train and draw."""

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

_WHOLE = 1_000_000_000
"""Fractions travel in billionths: float32 would round what is nearly spent up to spent."""

_END, _AGAIN = -1, -2
"""What the first process says at the end of a stretch, in place of a fraction; -2 - 2 n asks for n pictures,
and one less for n fine ones."""


class Together:
    """The processes of one training run, by Accelerate; see `processes.Processes`."""

    def __init__(self, accelerator: Accelerator, hold: Callable[[], AbstractContextManager[object]]) -> None:
        self._accelerator = accelerator
        self._hold = hold

    @property
    def count(self) -> int:
        """How many there are."""
        return int(self._accelerator.num_processes)

    def backward(self, loss: Scalar) -> None:
        """Adds the gradients of a loss, averaged over the processes."""
        self._accelerator.backward(loss)

    def hold(self) -> AbstractContextManager[object]:
        """Inside, gradients are added up in each process, and not averaged yet."""
        return self._hold()

    def mean(self, values: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        """The mean over the processes, the same in each."""
        reduced: Tensor = self._accelerator.reduce(values, "mean")
        return reduced

    def gather(self, values: Float[Tensor, " part"]) -> Float[Tensor, " whole"]:
        """The values of all processes in their order, the same in each."""
        gathered: Tensor = self._accelerator.gather(values.to(self._accelerator.device))
        return gathered


def distribute(diffusion: Diffusion, accelerator: Accelerator) -> None:
    """Lets Accelerate wrap the network and the optimiser; one process notices nothing."""
    network = accelerator.prepare_model(diffusion.network, device_placement=False)
    diffusion.network = network
    diffusion.optimizer = accelerator.prepare_optimizer(diffusion.optimizer, device_placement=False)
    if accelerator.num_processes > 1:
        diffusion.processes = Together(accelerator, network.no_sync)


class Team:
    """In one stretch of training the first process's clock and wishes count for all, or others would wait.

    Before each step all meet: the first tells how much of the budget is spent, or that pictures are to be drawn
    together first. Each draws the pictures of its own seeds, so that the sheet is the same for any number.

    Args:
        accelerator: knows the processes.
        draw: the pictures of these places, (B, C, H, W), and whether they are to be fine.
    """

    def __init__(self, accelerator: Accelerator, draw: Callable[[range, bool], Images]) -> None:
        self._accelerator = accelerator
        self._draw = draw
        self._ended = self._again = False

    @property
    def alone(self) -> bool:
        """Whether there is one process only."""
        return bool(self._accelerator.num_processes == 1)

    def spent(self, fraction: Callable[[], float]) -> float:
        """The fraction of the budget, as the first process finds it; draws along until it is told."""
        if self.alone:
            return fraction()
        if self._accelerator.is_main_process:
            return self._tell(int(min(1.0, fraction()) * _WHOLE)) / _WHOLE
        return self._follow()

    def pictures(self, count: int, fine: bool) -> Images:
        """The first `count` pictures, drawn by all; called in the first process."""
        if self.alone:
            return self._draw(range(count), fine)
        self._tell(_AGAIN - 2 * count - fine)
        return self._drawn(count, fine)

    def end(self, *, again: bool) -> bool:
        """Lets the others go, to train on from an older state or for good; called in the first process."""
        if not self.alone:
            self._tell(_AGAIN if again else _END)
        self._ended, self._again = True, again
        return again

    def __enter__(self) -> "Team":
        """In the first process, around all that it does with the others."""
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        # After any other error the others wait in the midst of a step: their launcher ends them.
        if not self._ended and (kind is None or issubclass(kind, GeneratorExit | UnnoiseError)):
            self.end(again=False)

    def stay(self) -> bool:
        """Draws along until the first process ends, and returns whether to go on from an older state."""
        while not self._ended:
            self._follow()
        return self._again

    def _follow(self) -> float:
        while (told := self._tell(0)) < _AGAIN:
            self._drawn(*divmod(_AGAIN - told, 2))
        self._ended, self._again = told < 0, told == _AGAIN
        return 1.0 if self._ended else told / _WHOLE

    def _tell(self, number: int) -> int:
        return int(broadcast(torch.tensor(number, device=self._accelerator.device)))

    def _drawn(self, count: int, fine: int) -> Images:
        processes, rank = self._accelerator.num_processes, self._accelerator.process_index
        share = -(-count // processes)  # of each; what the last ones draw too much is cut off
        mine = self._draw(range(rank * share, (rank + 1) * share), bool(fine))
        gathered: Tensor = self._accelerator.gather(mine)
        return gathered[:count]
