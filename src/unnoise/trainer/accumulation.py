"""Gradient accumulation that grows: a training step in more pieces each time that memory runs out.

    the gradient of a batch = the sum of the gradients of its pieces, each times its share of the images

A step is drawn before it is cut, so noises and noise levels do not depend on the number of pieces.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import torch

from unnoise.utils.out_of_memory import Attempt, DoesNotFitError, free_cached_memory

Result = TypeVar("Result")


@dataclass
class Accumulation:
    """In how many pieces each batch goes through the network; doubled each time that memory runs out.

    Args:
        pieces: the number to begin with.
        device: named in messages.
        shared: whether the steps are shared with other processes. These wait for each other within a step, so
            it cannot be taken again by one of them.
        note: called with a new number of pieces.
    """

    pieces: int = 1
    device: torch.device | str = "cpu"
    shared: bool = False
    note: Callable[[int], object] = lambda _: None

    def fit(self, num_images: int, work: Callable[[int], Result]) -> Result:
        """The result of `work(pieces)`, with the pieces doubled until it fits.

        Args:
            num_images: in the batch.
            work: leaves everything as it was where memory runs out.

        Raises:
            DoesNotFitError: where a single picture does not fit, or another start is needed.
        """
        attempt, before = Attempt(), self.pieces
        while True:
            with attempt:
                result = work(self.pieces)
            if not attempt.failed:
                break
            self._double(num_images)
        if self.pieces != before:
            self.tell(before, num_images)
        return result

    def tell(self, before: int, num_images: int) -> None:
        """Notes the number of pieces, and warns that there were fewer before."""
        self.note(self.pieces)
        warnings.warn(
            f"The memory of {self.device} is too small for a training step of {num_images:,} pictures in "
            f"{_counted(before)}: from now on it takes {_counted(self.pieces)} (--accumulate {self.pieces}). "
            "The training stays the same.",
            stacklevel=3,
        )

    def _double(self, num_images: int) -> None:
        if self.pieces >= num_images:
            raise DoesNotFitError(
                f"Not even one picture fits into the free memory of {self.device} in a training step. Use "
                "another --device, or train with --checkpoint-activations, a smaller --size or --preset."
            )
        self.pieces = min(2 * self.pieces, num_images)
        if self.shared:
            self.note(self.pieces)
            raise DoesNotFitError(
                f"The memory of {self.device} is too small for a training step. The same command with --resume "
                f"goes on from the last saved state, with steps in {_counted(self.pieces)}."
            )
        free_cached_memory()


def _counted(pieces: int) -> str:
    return "1 piece" if pieces == 1 else f"{pieces:,} pieces"
