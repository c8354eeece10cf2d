"""Process group: the collective operations that a training step shared by several processes needs."""

from contextlib import AbstractContextManager
from typing import NamedTuple, Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor


class BatchPart(NamedTuple):
    """The images that one process takes of a batch of `whole` images: those from place `first` on."""

    first: int
    whole: int

    def places(self, count: int) -> slice:
        """The places of the `count` images of this part in the batch."""
        return slice(self.first, self.first + count)


@runtime_checkable
class ProcessGroup(Protocol):
    """Several processes that train one network together, each on its part of a batch."""

    @property
    def size(self) -> int:
        """Number of processes."""

    def backward(self, loss: Float[Tensor, ""]) -> None:
        """Adds the gradients of the loss, averaged over the processes unless inside `no_sync`."""

    def no_sync(self) -> AbstractContextManager[object]:
        """Inside, gradients are added up within each process, and not averaged yet."""

    def mean(self, values: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        """All-reduce: the mean over the processes, the same in each."""

    def gather(self, values: Float[Tensor, " part"]) -> Float[Tensor, " whole"]:
        """All-gather: the values of all processes in order of rank, the same in each."""
