"""Out of memory: how a device says so, and work in pieces that get smaller until they fit.

one call for N pictures = calls for N / 2, N / 4, ... pictures each, one after the other
"""

import gc
import warnings
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import TypeVar

import torch

from unnoise.utils import malloc
from unnoise.utils.errors import UnnoiseError

Result = TypeVar("Result")

_COMPLAINTS = (
    "out of memory",  # CUDA, ROCm, MPS
    "can't allocate memory",  # PyTorch on a CPU
    "not enough memory: you tried to allocate",  # the same on Windows
    "could not create a memory object",  # oneDNN, which computes convolutions on a CPU
    "ALLOC_FAILED",  # cuBLAS, cuDNN
    "Failed to allocate memory",  # ONNX Runtime
)

_WHOLE_COMPLAINTS = ("could not create a primitive",)
"""Of oneDNN again. With more words ("... descriptor") it means an operation that it does not know."""


class DoesNotFitError(UnnoiseError):
    """Not even the smallest piece fits: the message says what may help."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, on any device."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError | DoesNotFitError):
        return True
    if not isinstance(error, RuntimeError):
        return False
    text = str(error)
    return text in _WHOLE_COMPLAINTS or any(complaint in text for complaint in _COMPLAINTS)


class Attempt:
    """Context that ends quietly where memory ran out inside; `failed` then says so.

    What the failed work held in memory is free once the context has ended.
    """

    failed = False

    def __enter__(self) -> "Attempt":
        self.failed = False
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        self.failed = error is not None and is_out_of_memory(error)
        return self.failed


class Pieces:
    """Work on many pictures in pieces, whose size is halved each time that memory runs out.

        pieces = Pieces(64, "cuda:0")
        for some in pieces.slices(len(images)):
            with pieces.attempt:
                results.append(work(images[some]))

    A piece that failed comes again, in halves. The smaller size stays for all later work, and is told once, in
    a warning.

    Args:
        size: pictures at once; None for any number.
        device: named in messages.
        note: called with a smaller size, once it was found to fit.
    """

    def __init__(
        self,
        size: int | None = None,
        device: torch.device | str = "cpu",
        note: Callable[[int], object] = lambda _: None,
    ) -> None:
        self.size = size
        self.device = device
        self.note = note
        self.attempt = Attempt()
        self._wanted: int | None = None

    def slices(self, number: int) -> Iterator[slice]:
        """The pieces of `number` pictures, in order.

        Raises:
            DoesNotFitError: where a single picture does not fit.
        """
        done = 0
        while done < number:
            size = min(self.size or number, number - done)
            self.attempt.failed = False
            yield slice(done, done + size)
            if self.attempt.failed:
                self._halve(size)
            else:
                done += size
                self._tell()

    def map(self, number: int, work: Callable[[slice], Result]) -> list[Result]:
        """The results of `work` for the pieces of `number` pictures."""
        results = []
        for some in self.slices(number):
            with self.attempt:
                results.append(work(some))
        return results

    def apply(self, call: Callable[..., torch.Tensor], *tensors: torch.Tensor) -> torch.Tensor:
        """`call(*tensors)`, in pieces of the first dimension of all of them where memory runs out.

        A call that is exported as a graph stays whole, so that the graph takes any number of pictures.
        """
        if torch.compiler.is_exporting():
            return call(*tensors)
        outputs = self.map(len(tensors[0]), lambda some: call(*(tensor[some] for tensor in tensors)))
        return outputs[0] if len(outputs) == 1 else torch.cat(outputs)

    def _halve(self, size: int) -> None:
        if size == 1:
            raise DoesNotFitError(
                f"Not even one picture fits into the free memory of {self.device}. End other programs that use "
                "it, or choose another --device."
            )
        self._wanted = self._wanted or size
        self.size = size // 2
        free_cached_memory()

    def _tell(self) -> None:
        wanted, self._wanted = self._wanted, None
        if wanted is not None and self.size is not None:
            self.note(self.size)
            warnings.warn(
                f"The memory of {self.device} is too small for {wanted:,} pictures at once: from now on the "
                f"network takes {self.size:,} at a time.",
                stacklevel=4,
            )


def free_cached_memory() -> None:
    """Gives memory back that nothing uses any more, but PyTorch or the C library keep."""
    gc.collect()
    malloc.give_back_freed_memory()
    free_device_cache()


def free_device_cache() -> None:
    """Gives back to the GPU what PyTorch keeps of its memory for later."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    if torch.backends.mps.is_available():
        torch.mps.empty_cache()
