"""Training batches in a random order that depends on the seed alone, and their prefetching."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple, Protocol, TypeAlias, runtime_checkable

import numpy as np
import torch
from jaxtyping import Int
from numpy.typing import NDArray
from torch import Tensor

from unnoise.diffusion.tensors import Pixels
from unnoise.optim.process_group import BatchPart
from unnoise.utils.chunks import pictures_in
from unnoise.utils.errors import require

Indices = NDArray[np.int64]
LabelledBatch: TypeAlias = tuple[Pixels, Int[Tensor, " batch"] | None]
"""A batch, and the class of each of its pictures, if they have any."""


@runtime_checkable
class Pictures(Protocol):
    """Pictures by index, with or without labels; `ImageSet` is one such set."""

    @property
    def labels(self) -> Indices | None:
        """The class of each picture, (N,), or None if they have none."""
        ...

    def __len__(self) -> int:
        """How many pictures there are."""
        ...

    def take(self, indices: Indices) -> Pixels:
        """Copies of the pictures at these indices, (B, C, H, W)."""
        ...


class Split(NamedTuple):
    """Indices of the pictures to train on, and of those that are held out for testing."""

    training: Indices
    held_out: Indices


def split(count: int, held_out: int, seed: int) -> Split:
    """Splits `count` pictures into training and held-out ones, at random by the seed.

    Raises:
        UnnoiseError: if nothing would be left to train on.
    """
    require(
        0 <= held_out < count,
        f"Cannot hold out {held_out} of {count} pictures. Hold out from 0 to {count - 1}.",
    )
    order = np.random.default_rng([seed, 1]).permutation(count)
    return Split(np.sort(order[held_out:]), np.sort(order[:held_out]))


def held_out_count(count: int) -> int:
    """Default number of held-out pictures: one in 20, at most 1,000, and none of fewer than 40."""
    return 0 if count < 40 else min(1000, count // 20)


def evenly_spread(indices: Indices, count: int) -> Indices:
    """At most `count` of these indices, at equal distances."""
    places = np.linspace(0, len(indices) - 1, min(count, len(indices))).astype(np.int64)
    return np.asarray(indices[places])


def in_chunks(pictures: Pictures, indices: Indices, values: int) -> Iterator[Pixels]:
    """The pictures at these indices, (B, C, H, W), in chunks of at most so many values."""
    size = pictures_in(values, pictures.take(indices[:1]).shape[1:])
    return (pictures.take(indices[first : first + size]) for first in range(0, len(indices), size))


class Batches:
    """Endless sequence of training batches: `batches[k]` is the k-th.

    Batch k depends on the seed and k alone, so a resumed run continues without replaying anything. One random
    order follows another: every picture comes once an epoch, even if the batch size does not divide their
    number, or exceeds it. With several processes each takes its slice of the same batch.

    Args:
        pictures: the set to take from.
        indices: which of its pictures to use.
        batch_size: of all processes together.
        seed: of the order and of the flips.
        flip: mirrors each picture left to right with probability 1/2.
        rank, processes: the slice of this process, and their number.

    Raises:
        UnnoiseError: if the processes cannot share a batch evenly.
    """

    def __init__(
        self,
        pictures: Pictures,
        indices: Indices,
        batch_size: int,
        seed: int,
        *,
        flip: bool = False,
        rank: int = 0,
        processes: int = 1,
    ) -> None:
        require(
            batch_size % processes == 0,
            f"{processes} processes cannot share batches of {batch_size} evenly. Choose a batch size that is a "
            f"multiple of {processes}.",
        )
        self.pictures = pictures
        self.indices = indices
        self.batch_size = batch_size
        self.seed = seed
        self.flip = flip
        self.part = BatchPart(rank * batch_size // processes, batch_size)
        self._slice = slice(self.part.first, (rank + 1) * batch_size // processes)
        self._orders: dict[int, Indices] = {}

    @property
    def count(self) -> int:
        """Pictures that this process takes of a batch."""
        return self._slice.stop - self._slice.start

    def __getitem__(self, step: int) -> Pixels:
        """Batch `step`, uint8 (batch_size / processes, C, H, W)."""
        images = self.pictures.take(self._chosen(step))
        if not self.flip:
            return images
        mirrored = np.random.default_rng([self.seed, 3, step]).random(self.batch_size)[self._slice] < 0.5
        for place in np.flatnonzero(mirrored).tolist():  # one picture at a time stays in the processor's cache
            images[place] = images[place].flip(-1)
        return images

    def classes(self, step: int) -> Int[Tensor, " batch"] | None:
        """The class of each picture of batch `step`, (batch_size / processes), or None if they have none."""
        return self.classes_at(self._chosen(step))

    def classes_at(self, indices: Indices) -> Int[Tensor, " batch"] | None:
        """The class of each picture at these indices, (B,), or None if they have none."""
        labels = self.pictures.labels
        return None if labels is None else torch.from_numpy(labels[indices])

    def _chosen(self, step: int) -> Indices:
        places = np.arange(step * self.batch_size, (step + 1) * self.batch_size)[self._slice]
        epochs, offsets = np.divmod(places, len(self.indices))
        chosen = np.empty_like(places)
        for epoch in np.unique(epochs):
            inside = epochs == epoch
            chosen[inside] = self._order(int(epoch))[offsets[inside]]
        return self.indices[chosen]

    def _order(self, epoch: int) -> Indices:
        if epoch not in self._orders:
            self._orders = {old: order for old, order in self._orders.items() if old == epoch - 1}
            self._orders[epoch] = np.random.default_rng([self.seed, 2, epoch]).permutation(len(self.indices))
        return self._orders[epoch]


class Prefetcher:
    """Prefetching of training batches: a thread prepares the next one while the device computes.

    A context manager. On the CPU, which has no time to spare while it computes, each batch is made when it is
    asked for, which takes a hundredth of a step at most.

    Args:
        batches: the batches to prefetch.
        device: the device that computes; for CUDA, batches are in pinned memory, so that copies need no wait.
    """

    def __init__(self, batches: Batches, device: torch.device) -> None:
        self._batches = batches
        self._pins = device.type == "cuda"
        self._thread = None if device.type == "cpu" else _thread_of(device)
        self._next: tuple[int, Future[LabelledBatch]] | None = None

    def __enter__(self) -> "Prefetcher":
        return self

    def __exit__(self, *_: object) -> None:
        if self._thread is not None:
            self._thread.shutdown(cancel_futures=True)

    def __call__(self, step: int) -> LabelledBatch:
        """Batch `step` and its classes; an error while preparing it is raised here."""
        if self._thread is None:
            return self._made(step)
        prepared, self._next = self._next, None
        if prepared is None or prepared[0] != step:
            prepared = step, self._thread.submit(self._made, step)
        made = prepared[1].result()
        self._next = step + 1, self._thread.submit(self._made, step + 1)
        return made

    def _made(self, step: int) -> LabelledBatch:
        pictures, classes = self._batches[step], self._batches.classes(step)
        if not self._pins:
            return pictures, classes
        return pictures.pin_memory(), None if classes is None else classes.pin_memory()


def _thread_of(device: torch.device) -> ThreadPoolExecutor:
    """A thread whose current device is this one: pinning memory would take some of the first device else."""
    if device.type != "cuda":
        return ThreadPoolExecutor(1, "unnoise-batches")
    index = torch.cuda.current_device() if device.index is None else device.index
    return ThreadPoolExecutor(1, "unnoise-batches", torch.cuda.set_device, (index,))
