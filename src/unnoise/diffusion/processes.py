"""Several processes are one: each takes its part of a batch, and what they found becomes the whole's."""

from contextlib import AbstractContextManager, nullcontext
from typing import NamedTuple, Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from unnoise.diffusion.tensors import Scalar


class Part(NamedTuple):
    """Which pictures of a batch these are: those from `first` on, of `whole`."""

    first: int
    whole: int

    def places(self, count: int) -> slice:
        """Where the `count` pictures of this part are in the batch."""
        return slice(self.first, self.first + count)


@runtime_checkable
class Processes(Protocol):
    """What a training step asks of the processes that share it."""

    @property
    def count(self) -> int:
        """How many there are."""

    def backward(self, loss: Scalar) -> None:
        """Adds the gradients of a loss, averaged over the processes."""

    def hold(self) -> AbstractContextManager[object]:
        """Inside, gradients are added up in each process, and not averaged yet."""

    def mean(self, values: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        """The mean over the processes, the same in each."""

    def gather(self, values: Float[Tensor, " part"]) -> Float[Tensor, " whole"]:
        """The values of all processes in their order, the same in each."""


class Alone:
    """One process, which shares with none."""

    count = 1

    def backward(self, loss: Scalar) -> None:
        """Adds the gradients of a loss."""
        loss.backward()  # type: ignore[no-untyped-call]

    def hold(self) -> AbstractContextManager[object]:
        """Changes nothing."""
        return nullcontext()

    def mean(self, values: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        """The values."""
        return values

    def gather(self, values: Float[Tensor, " part"]) -> Float[Tensor, " part"]:
        """The values."""
        return values
