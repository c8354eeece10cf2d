"""Training is an iterator of steps: the progress bar, the web page and the tests are `for` loops over it.

It runs on Hugging Face Accelerate, so `torchrun` or `accelerate launch` take it to many devices unchanged.
"""

import time
from collections.abc import Callable, Generator, Iterator

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import broadcast

from unnoise.batches import Batches, split
from unnoise.checkpoint import Progress, Run
from unnoise.config import Budget
from unnoise.diffusion import Diffusion
from unnoise.errors import UnnoiseError
from unnoise.features import KnownPictures
from unnoise.monitoring import Monitor
from unnoise.recording import Recorder, TrainStep

_TESTED_PICTURES = 256
"""Held-out pictures are denoised again and again; this many tell enough."""


def choose_device(name: str = "auto") -> torch.device:
    """`auto` takes CUDA, else Apple's MPS, else the CPU; any other name is taken at its word.

    Raises:
        UnnoiseError: for a device that PyTorch does not have here.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise UnnoiseError(f"The device {name!r} can't be used here ({reason}): try --device cpu.") from None
    return device


def steps(
    diffusion: Diffusion,
    batches: Batches,
    budget: Budget,
    progress: Progress = Progress(),  # noqa: B008 (immutable)
    *,
    seed: int = 0,
    rank: int = 0,
    spent: Callable[[Progress], float] | None = None,
) -> Iterator[TrainStep]:
    """Trains until the budget is spent, from wherever `progress` is. Writes nothing, shows nothing.

    The random numbers of a step are a function of (seed, step, rank): what comes next never depends on what
    happened since the run was started, so a resumed run is the uninterrupted one (but for a budget of minutes,
    where the learning rate follows the clock).

    Args:
        spent: the fraction of the budget that is spent, where it is not the budget alone that decides.
    """
    spent = spent or (lambda now: budget.spent(*now))
    started = time.monotonic() - progress.seconds
    while (fraction := spent(progress)) < 1:
        learning_rate = diffusion.optimizer_config.learning_rate_at(fraction)
        diffusion.set_learning_rate(learning_rate)
        diffusion.generator.manual_seed(_seed_of(seed, progress.step, rank))
        result = diffusion.train_step(batches[progress.step], batches.classes(progress.step))
        seen = progress.images + batches.batch_size
        progress = Progress(progress.step + 1, seen, time.monotonic() - started)
        yield TrainStep(progress, min(1.0, budget.spent(*progress)), learning_rate, result)


def _seed_of(*numbers: int) -> int:
    return int(np.random.SeedSequence([abs(number) for number in numbers]).generate_state(1, np.uint64)[0] >> 1)


def train(
    run: Run,
    pictures: KnownPictures,
    device: torch.device | str = "cpu",
    stop: Callable[[], bool] = lambda: False,
) -> Generator[TrainStep, None, None]:
    """Trains a run from where its folder is to the end of its budget, and keeps the folder up to date.

    Closing the iterator early saves; a later call goes on from there.

    Args:
        run, pictures, device: what, on what, where.
        stop: asked before each step; of several processes the first decides for all.

    Yields:
        a `TrainStep` after each step.

    Raises:
        UnnoiseError: when the loss is no longer finite; the last saved state stays.
    """
    config = run.config
    # Precision is ours (Diffusion.denoise), whatever the launcher's settings say.
    accelerator = Accelerator(cpu=torch.device(device).type == "cpu", mixed_precision="no")
    # One process trains where it is told to; of several, Accelerate gives each a device of its own.
    diffusion = config.build(device if accelerator.num_processes == 1 else accelerator.device)
    progress = run.restore(diffusion)
    distribute(diffusion, accelerator)
    rank, processes = accelerator.process_index, accelerator.num_processes
    parts = split(len(pictures), config.data.held_out, config.seed)
    batches = Batches(
        pictures,
        parts.training,
        config.recipe.batch_size,
        config.seed,
        flip=config.data.flip,
        rank=rank,
        processes=processes,
    )
    monitor = Monitor(run, diffusion, pictures, parts, progress) if accelerator.is_main_process else None

    def ended() -> bool:
        return stop() or (config.until_converged and monitor is not None and monitor.verdict is not None)

    spent = _spent_everywhere(config.budget, ended, accelerator)
    iterator = steps(diffusion, batches, config.budget, progress, seed=config.seed, rank=rank, spent=spent)
    if not accelerator.is_main_process:
        yield from iterator
        return
    tested = parts.held_out[:_TESTED_PICTURES]
    chunks = [tested[i : i + 64] for i in range(0, len(tested), 64)]
    held_out = [(pictures.take(chunk), batches.classes_at(chunk)) for chunk in chunks]
    with Recorder(run, diffusion, held_out, progress, monitor) as recorder:
        yield from recorder.record(iterator)


def distribute(diffusion: Diffusion, accelerator: Accelerator) -> None:
    """Lets Accelerate wrap the network, the optimiser and the backward pass; one process notices nothing."""
    diffusion.network = accelerator.prepare_model(diffusion.network, device_placement=False)
    diffusion.optimizer = accelerator.prepare_optimizer(diffusion.optimizer, device_placement=False)
    diffusion.backward = accelerator.backward


def _spent_everywhere(
    budget: Budget, stop: Callable[[], bool], accelerator: Accelerator
) -> Callable[[Progress], float]:
    """The first process's clock and stop decide for all, or one would end while the others wait for it."""

    def spent(progress: Progress) -> float:
        fraction = 1.0 if stop() else min(1.0, budget.spent(*progress))
        if accelerator.num_processes == 1:
            return fraction
        # In billionths: float32 would round what is nearly spent up to spent.
        shared = broadcast(torch.tensor(int(fraction * 1e9), device=accelerator.device))
        return int(shared) / 1e9

    return spent
