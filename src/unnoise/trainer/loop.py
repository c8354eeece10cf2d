"""Training loop: an iterator of steps, which the command line and the tests walk by a `for` loop.

It runs on Hugging Face Accelerate: `torchrun` or `accelerate launch` start it on several devices unchanged.
"""

import time
import warnings
from collections.abc import Callable, Generator, Iterator
from contextlib import nullcontext
from functools import partial

import numpy as np
import torch
from accelerate import Accelerator, DistributedDataParallelKwargs
from torch.profiler import record_function

from unnoise.data.batches import Batches, Prefetcher, Split
from unnoise.diffusion.diffusion import Diffusion, StepResult
from unnoise.diffusion.tensors import Classes, Pixels
from unnoise.evaluation.features import FingerprintedPictures
from unnoise.optim.process_group import BatchPart
from unnoise.runs.checkpoint import Progress, Run
from unnoise.runs.config import Budget, RunConfig
from unnoise.runs.history import read_events
from unnoise.runs.lock import lock_run
from unnoise.trainer.accumulation import Accumulation
from unnoise.trainer.clustering import find_clusters
from unnoise.trainer.compiler import Rehearsal, TrainingCompiler
from unnoise.trainer.deterministic import deterministic_kernels
from unnoise.trainer.distributed import Coordinator, agreed, distribute, own_device, rank_0_first
from unnoise.trainer.guards import Adjustments, Fault, Guards
from unnoise.trainer.memory_limits import MemoryLimits
from unnoise.trainer.monitoring import Monitor
from unnoise.trainer.previews import Batch, Interrupted, draw_samples, draw_sheet
from unnoise.trainer.recorder import Recorder
from unnoise.trainer.train_step import TrainStep
from unnoise.utils import malloc
from unnoise.utils.device_speed import PROFILER_RANGES
from unnoise.utils.errors import UnnoiseError
from unnoise.utils.precision import set_tf32
from unnoise.utils.processors import use_own_cores
from unnoise.utils.tensor_files import read_facts

_MAX_TESTED = 256
"""Held-out pictures for the held-out loss, at most."""


def choose_device(name: str = "auto") -> torch.device:
    """The device of this name; `auto` is CUDA where there is one, else Apple's MPS, else the CPU.

    Raises:
        UnnoiseError: for a device that PyTorch cannot use here.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = own_device(torch.device(name))
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise UnnoiseError(f"The device {name!r} cannot be used here ({reason}). Try --device cpu.") from None
    use_own_cores(device)
    return device


def steps(
    diffusion: Diffusion,
    batches: Batches,
    budget: Budget,
    progress: Progress = Progress(),  # noqa: B008 (immutable)
    *,
    seed: int = 0,
    accumulation: Accumulation | None = None,
    spent: Callable[[Progress], float] | None = None,
) -> Iterator[TrainStep]:
    """Trains from `progress` on until the budget is spent. Writes nothing, prints nothing.

    The random numbers of a step are a function of (seed, step): they do not depend on what happened since the
    run was started, or on how many processes share a batch. So a resumed run equals the uninterrupted one (but
    for a budget of minutes, where the learning rate follows the clock).

    Args:
        accumulation: in how many pieces a step goes through the network; one, and more where memory runs out,
            if left out.
        spent: the fraction of the budget that is spent, where the budget alone does not decide.
    """
    spent = spent or (lambda now: budget.spent(*now))
    accumulation = accumulation or Accumulation(device=diffusion.denoiser.device)
    clusters = diffusion.denoiser.abilities.clusters
    if progress.step == 0 and clusters is not None and not clusters.found:
        find_clusters(diffusion, batches)
    _walk_again(diffusion, batches, progress, spent)
    started = time.monotonic() - progress.seconds
    with Prefetcher(batches, diffusion.denoiser.device) as prefetched:
        while (fraction := spent(progress)) < 1:
            learning_rate = diffusion.weights.config.learning_rate_at(fraction)
            diffusion.weights.set_learning_rate(learning_rate)
            diffusion.spent = fraction
            if diffusion.walks is not None:
                diffusion.walks.step = progress.step
            with record_function(PROFILER_RANGES["data"]):
                pictures, classes = prefetched(progress.step)
            step = partial(_step, diffusion, pictures, classes, batches.part, _seed_of(seed, progress.step))
            result = accumulation.fit(len(pictures), step)
            seen = progress.images + batches.batch_size
            progress = Progress(progress.step + 1, seen, time.monotonic() - started)
            yield TrainStep(progress, min(1.0, budget.spent(*progress)), learning_rate, result)


def _walk_again(
    diffusion: Diffusion, batches: Batches, progress: Progress, spent: Callable[[Progress], float]
) -> None:
    """Before a distillation goes on: the walks that it had, which are not stored. The clock stands still."""
    if diffusion.walks is not None and progress.step > 0 and spent(progress) < 1:
        diffusion.walks.step = progress.step
        for _ in diffusion.walks.walk_again(batches.count, batches.part):
            if spent(progress) >= 1:
                break


def _step(
    diffusion: Diffusion,
    pictures: Pixels,
    classes: Classes | None,
    part: BatchPart | None,
    seed: int,
    pieces: int,
) -> StepResult:
    """A training step, whose random numbers are the same in any number of pieces."""
    diffusion.generator.manual_seed(seed)
    return diffusion.train_step(pictures, classes, part=part, accumulate=pieces)


def _seed_of(seed: int, step: int) -> int:
    return int(np.random.SeedSequence([abs(seed), step, 0]).generate_state(1, np.uint64)[0] >> 1)


def train(
    run: Run,
    pictures: FingerprintedPictures,
    device: torch.device | str = "cpu",
    stop: Callable[[], bool] = lambda: False,
    watch: Callable[[Iterator[TrainStep]], Iterator[TrainStep]] = iter,
    compiler: TrainingCompiler | None = None,
) -> Generator[TrainStep, None, None]:
    """Trains a run from the state in its folder to the end of its budget, and keeps the folder up to date.

    Closing the iterator early saves; a later call continues from there. Until then the run is locked against
    other processes. On a CPU the process keeps freed memory
    from now on (see `malloc`).

    Args:
        run, pictures, device: what to train, on what, where.
        stop: called before each step; True ends the training. Of several processes the first decides for all.
        watch: passes the steps on and may measure them, as a `StepProfiler` does; only in the first of several
            processes.
        compiler: if given, it may compile the network before that trains.

    Yields:
        a `TrainStep` after each step; where a guard goes back (see `guards`), steps come again.

    Raises:
        UnnoiseError: when a fault comes again and again; the last good state stays. When another process trains
            this run, or its states are lost (see `Run.require_resumable`).
    """
    accelerator = _accelerator(device)
    if accelerator.device.type == "cpu":
        malloc.keep_freed_memory()
    parts = run.config.data.split(len(pictures), run.config.seed)
    with lock_run(run.path) if accelerator.is_main_process else nullcontext():
        run.require_resumable()
        with rank_0_first():  # it may remove old events
            guards = Guards(run, pictures, parts.training) if accelerator.is_main_process else None
        limits = MemoryLimits(run, accelerator)
        with deterministic_kernels(run.config.deterministic):
            while (
                yield from _train_until_fault(limits, pictures, parts, device, stop, guards, watch, compiler)
            ):
                pass


def _train_until_fault(
    limits: MemoryLimits,
    pictures: FingerprintedPictures,
    parts: Split,
    device: torch.device | str,
    stop: Callable[[], bool],
    guards: Guards | None,
    watch: Callable[[Iterator[TrainStep]], Iterator[TrainStep]],
    compiler: TrainingCompiler | None,
) -> Generator[TrainStep, None, bool]:
    """Trains until the end or a fault; returns whether to continue from an older state."""
    run, accelerator = limits.run, _accelerator(device)
    config, batches = run.config, _batches(run.config, pictures, parts, accelerator)
    diffusion, adjustments, restored = _restored(run, accelerator, device)
    accumulation, progress = _prepared(limits, compiler, diffusion, batches, restored, accelerator)
    if guards is not None:
        _warn_of_other_processes(run, diffusion)
    monitor = None if guards is None else Monitor(run, diffusion, pictures, parts, progress)

    def check() -> None:
        if stop() and coordinator.alone:
            raise Interrupted

    def spent(now: Progress) -> float:
        converged = config.until_converged and monitor is not None and monitor.convergence_reason is not None
        return coordinator.spent(lambda: 1.0 if converged or stop() else config.budget.spent(*now))

    coordinator = Coordinator(accelerator, partial(draw_samples, diffusion.ema, config, each_step=check))
    shared = {"seed": adjustments.seed(config.seed), "accumulation": accumulation, "spent": spent}
    iterator = steps(diffusion, batches, config.budget, progress, **shared)  # type: ignore[arg-type]
    if guards is None:
        yield from iterator
        return coordinator.stay()
    draw, held_out = partial(draw_sheet, run, diffusion, coordinator.pictures, check), _held_out(batches, parts)
    with coordinator, Recorder(run, diffusion, held_out, progress, monitor, guards, draw) as recorder:
        try:
            yield from recorder.record(watch(iterator))
        except Fault as fault:
            guards.roll_back(fault, recorder.progress)
            return coordinator.end(again=True)
    return False


def _batches(
    config: RunConfig, pictures: FingerprintedPictures, parts: Split, accelerator: Accelerator
) -> Batches:
    share = {"rank": accelerator.process_index, "processes": accelerator.num_processes}
    size, flip = config.recipe.batch_size, config.data.flip
    return Batches(pictures, parts.training, size, config.seed, flip=flip, **share)


def _prepared(
    limits: MemoryLimits,
    compiler: TrainingCompiler | None,
    diffusion: Diffusion,
    batches: Batches,
    progress: Progress,
    accelerator: Accelerator,
) -> tuple[Accumulation, Progress]:
    """Finds out what fits into memory, compiles, and lets several processes share the diffusion.

    Returns the pieces of a step, and the progress with the time that compiling took, where that counts.
    """
    if progress.step == 0:
        find_clusters(diffusion, batches)
    accumulation = limits.apply(diffusion, batches)
    if compiler is not None:
        rehearsal = Rehearsal(diffusion, batches, accumulation)
        seconds = compiler(rehearsal, limits.run.config.budget, progress, partial(agreed, accelerator))
        progress = progress._replace(seconds=progress.seconds + seconds)
    distribute(diffusion, accelerator)
    return accumulation, progress


def _restored(
    run: Run,
    accelerator: Accelerator,
    device: torch.device | str,
) -> tuple[Diffusion, Adjustments, Progress]:
    """The diffusion as it was saved last, or before its first step, with the adjustments of its guards."""
    # One process trains on the given device; of several, Accelerate gives each a device of its own.
    diffusion = run.config.build(device if accelerator.num_processes == 1 else accelerator.device)
    with rank_0_first():  # it also renames damaged states
        restored = run.restore(diffusion)
    adjustments = Adjustments.of(read_events(run.path))
    progress = adjustments.apply(diffusion, restored)
    set_tf32(diffusion.denoiser.device, diffusion.denoiser.precision)
    return diffusion, adjustments, progress


def _held_out(batches: Batches, parts: Split) -> list[Batch]:
    chosen = parts.held_out[:_MAX_TESTED]
    chunks = [chosen[i : i + 64] for i in range(0, len(chosen), 64)]
    return [(batches.pictures.take(chunk), batches.classes_at(chunk)) for chunk in chunks]


def _accelerator(device: torch.device | str) -> Accelerator:
    # Precision is ours (Diffusion.denoise), whatever the launcher's settings say.
    buckets = DistributedDataParallelKwargs(gradient_as_bucket_view=True)  # one copy of each gradient less
    cpu = torch.device(device).type == "cpu"
    return Accelerator(cpu=cpu, mixed_precision="no", kwargs_handlers=[buckets])


def _warn_of_other_processes(run: Run, diffusion: Diffusion) -> None:
    """Warns of what differs where another number of processes continues than trained before."""
    states, now = run.states(), (diffusion.weights.group.size if diffusion.weights.group else 1)
    before = read_facts(states[0]).get("processes", str(now)) if states else str(now)
    if before == str(now):
        return
    inexact = ["sums are rounded in another order"]
    if diffusion.denoiser.abilities.dropout:
        inexact.append("dropout draws other numbers")
    if any(buffer.is_floating_point() for buffer in diffusion.weights.average.source.buffers()):
        inexact.append("each process has batch statistics of its own part")
    warnings.warn(
        f"This run was trained by {before} process(es) until now, and continues with {now}. The batches, their "
        f"order and all noise stay the same, but {' and '.join(inexact)}, so the last digits differ.",
        stacklevel=2,
    )
