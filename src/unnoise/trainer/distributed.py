"""Distributed training by Accelerate: rank 0 decides and writes, all ranks train and draw samples."""

import gc
import os
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta

import torch
from accelerate import Accelerator, PartialState
from jaxtyping import Float
from torch import Tensor, distributed, nn

from unnoise.diffusion.diffusion import Diffusion
from unnoise.diffusion.tensors import Images, Scalar
from unnoise.trainer.previews import PreviewSize
from unnoise.utils.errors import UnnoiseError, interrupted, require
from unnoise.utils.out_of_memory import DoesNotFitError

_POLL_SECONDS = 0.1
_PATIENCE = timedelta(days=365)
"""How long ranks wait for what rank 0 decides: saving and measuring on a slow disk may take long."""

_WHOLE = 1_000_000_000
"""Fractions are sent in billionths: float32 would round a budget that is nearly spent up to spent."""

_END, _AGAIN = -1, -2
_MOST_STEPS = 1_000_000
"""What rank 0 sends in place of a fraction at the end of a stretch. -2 - (10^6 n + s) asks for n samples of s
steps."""


def own_device(device: torch.device) -> torch.device:
    """The device of this process: of several CUDA devices, that of its local rank (LOCAL_RANK).

    It becomes PyTorch's current device before anything is put there, or each process would take memory on the
    first one.

    Raises:
        UnnoiseError: for more processes than devices, or one device for several processes.
    """
    processes = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    require(
        device.type != "mps" or processes == 1,
        f"{processes} processes were started here, but on MPS one alone can train. Name --device cpu.",
    )
    if device.type != "cuda":
        return device
    if processes > 1:
        found = torch.cuda.device_count()
        mine = 0 if found == 1 else int(os.environ.get("LOCAL_RANK", "0"))
        require(
            device.index in (None, mine),
            f"{processes} processes were started here, each of which takes a device of its own, but --device "
            f"names {device}. Name --device cuda, and choose among devices by CUDA_VISIBLE_DEVICES.",
        )
        # Some launchers show each process nothing but its own device.
        require(
            found in (0, 1) or processes <= found,
            f"{processes} processes were started here, but there are {found} CUDA devices. Start "
            f"torchrun --nproc_per_node {found}.",
        )
        if found == 1:  # else Accelerate would wrap the network for the device of the local rank
            os.environ.setdefault("ACCELERATE_BYPASS_DEVICE_MAP", "true")
        device = torch.device("cuda", mine)
    if device.index is not None and torch.cuda.is_available():
        torch.cuda.set_device(device)
    return device


def number_of_devices(kind: str) -> int:
    """How many devices train together: one for each process, or on CPUs one for each machine."""
    processes, here = (int(os.environ.get(name, "1")) for name in ("WORLD_SIZE", "LOCAL_WORLD_SIZE"))
    return max(1, processes // here) if kind == "cpu" else processes


@contextmanager
def rank_0_first() -> Iterator[None]:
    """Context that rank 0 passes before the others, however long that takes; nothing for a single process.

    The others look into the store of the process group now and then. In a barrier they would give up after 10
    minutes (NCCL), and would not answer signals.

    Raises:
        SystemExit: in the others, where rank 0 failed inside: it says why.
        KeyboardInterrupt: in the others, where rank 0 was stopped inside.
    """
    if not distributed.is_initialized() or distributed.get_world_size() == 1:
        yield
        return
    store, rank = distributed.distributed_c10d._get_default_store(), distributed.get_rank()
    key = f"unnoise/turn/{store.add(f'unnoise/turns/{rank}', 1)}"
    if rank:
        while not store.check([key]):
            time.sleep(_POLL_SECONDS)
        outcome = store.get(key)
        if outcome == b"stopped":
            raise KeyboardInterrupt
        if outcome != b"passed":
            raise SystemExit(2)
        yield
        return
    try:
        yield
    except BaseException as error:
        store.set(key, "stopped" if interrupted(error) else "failed")
        raise
    store.set(key, "passed")


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
    if accelerator.num_processes > 1:
        for parameter in diffusion.denoiser.network.parameters():
            _align_strides(parameter)
    network = accelerator.prepare_model(diffusion.denoiser.network, device_placement=False)
    diffusion.denoiser.network, weights = network, diffusion.weights
    weights.optimizer = accelerator.prepare_optimizer(weights.optimizer, device_placement=False)
    if accelerator.num_processes > 1:
        weights.group = AccelerateGroup(accelerator, network.no_sync)


def _align_strides(parameter: nn.Parameter) -> None:
    """Gives gradients the strides of their parameter in dimensions of size 1, where any stride is right.

    Those of 1 x 1 convolutions differ, and DistributedDataParallel, which compares them all, would copy each of
    these gradients, and warn.
    """
    if 1 not in parameter.shape or not parameter.requires_grad:
        return

    def aligned(gradient: Tensor) -> Tensor:
        strides = zip(gradient.shape, gradient.stride(), parameter.stride(), strict=True)
        if any(size > 1 and own != wanted for size, own, wanted in strides):
            return gradient
        return gradient.as_strided(gradient.shape, parameter.stride())

    parameter.register_hook(aligned)  # type: ignore[no-untyped-call]


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
    They talk on the CPU (gloo), so that no step waits for a device.

    Args:
        accelerator: the processes.
        draw: (places of the sheet, steps of the sampler) -> samples, (B, C, H, W).
    """

    def __init__(self, accelerator: Accelerator, draw: Callable[[range, int], Images]) -> None:
        self._accelerator = accelerator
        self._draw = draw
        self._ended = self._again = False
        self._group = None if self.alone else distributed.new_group(backend="gloo", timeout=_PATIENCE)

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

    def pictures(self, size: PreviewSize) -> Images:
        """The first samples of the sheet, drawn by all ranks; called on rank 0."""
        if self.alone:
            return self._draw(range(size.pictures), size.num_steps)
        self._broadcast(_AGAIN - _MOST_STEPS * size.pictures - size.num_steps)
        return self._drawn(size.pictures, size.num_steps)

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
            self._drawn(*divmod(_AGAIN - told, _MOST_STEPS))
        self._ended, self._again = told < 0, told == _AGAIN
        return 1.0 if self._ended else told / _WHOLE

    def _broadcast(self, number: int) -> int:
        told = torch.tensor(number)
        distributed.broadcast(told, 0, self._group)
        return int(told)

    def _drawn(self, count: int, num_steps: int) -> Images:
        processes, rank = self._accelerator.num_processes, self._accelerator.process_index
        share = -(-count // processes)  # of each; what the last ones draw too much is cut off
        mine = self._draw(range(rank * share, (rank + 1) * share), num_steps)
        gathered: Tensor = self._accelerator.gather(mine)
        return gathered[:count]


def end_process_group(processes: PartialState) -> None:
    """Ends the group of processes and its threads; nothing for a single process.

    A thread of the group that lets go of a tensor while the interpreter ends aborts the process. Destroying the
    group does not wait for its threads while anything else holds it, such as a wrapped network in a reference
    cycle: that is freed first, then the group, which ends its threads.
    """
    last = distributed.group.WORLD if distributed.is_available() and distributed.is_initialized() else None
    processes.destroy_process_group()
    gc.collect()
    del last
