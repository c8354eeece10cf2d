"""Training is an iterator of steps: the progress bar, the web page and the tests are `for` loops over it.

It runs on Hugging Face Accelerate, so `torchrun` or `accelerate launch` take it to many devices unchanged.
"""

import time
import warnings
from collections.abc import Callable, Generator, Iterator
from functools import partial

import numpy as np
import torch
from accelerate import Accelerator
from torch.profiler import record_function

from unnoise.data.batches import Ahead, Batches, Split, split
from unnoise.diffusion.diffusion import Diffusion
from unnoise.evaluation.features import KnownPictures
from unnoise.runs.checkpoint import Progress, Run
from unnoise.runs.compiling import compile_training
from unnoise.runs.config import Budget, RunConfig
from unnoise.training.distributed import Coordinator, distribute
from unnoise.training.guards import Changes, Fault, Guards, read_events
from unnoise.training.monitoring import Monitor
from unnoise.training.previews import SAMPLE_SEEDS, Batch, Interrupted, draw_samples
from unnoise.training.recorder import Recorder, TrainStep
from unnoise.utils import malloc
from unnoise.utils.errors import UnnoiseError
from unnoise.utils.device_speed import PROFILER_RANGES
from unnoise.utils.tensor_files import read_facts

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
    accumulate: int = 1,
    spent: Callable[[Progress], float] | None = None,
) -> Iterator[TrainStep]:
    """Trains until the budget is spent, from wherever `progress` is. Writes nothing, shows nothing.

    The random numbers of a step are a function of (seed, step): what comes next never depends on what happened
    since the run was started, or on how many processes share a batch, so a resumed run is the uninterrupted one
    (but for a budget of minutes, where the learning rate follows the clock).

    Args:
        accumulate: see `Diffusion.train_step`.
        spent: the fraction of the budget that is spent, where it is not the budget alone that decides.
    """
    spent = spent or (lambda now: budget.spent(*now))
    started = time.monotonic() - progress.seconds
    with Ahead(batches, diffusion.denoiser.device) as ahead:
        while (fraction := spent(progress)) < 1:
            learning_rate = diffusion.weights.config.learning_rate_at(fraction)
            diffusion.weights.set_learning_rate(learning_rate)
            diffusion.generator.manual_seed(_seed_of(seed, progress.step))
            with record_function(PROFILER_RANGES["data"]):
                pictures, classes = ahead(progress.step)
            result = diffusion.train_step(pictures, classes, part=batches.part, accumulate=accumulate)
            seen = progress.images + batches.batch_size
            progress = Progress(progress.step + 1, seen, time.monotonic() - started)
            yield TrainStep(progress, min(1.0, budget.spent(*progress)), learning_rate, result)


def _seed_of(seed: int, step: int) -> int:
    return int(np.random.SeedSequence([abs(seed), step, 0]).generate_state(1, np.uint64)[0] >> 1)


def train(
    run: Run,
    pictures: KnownPictures,
    device: torch.device | str = "cpu",
    stop: Callable[[], bool] = lambda: False,
    watch: Callable[[Iterator[TrainStep]], Iterator[TrainStep]] = iter,
    compiled: Callable[[float], object] | None = None,
) -> Generator[TrainStep, None, None]:
    """Trains a run from where its folder is to the end of its budget, and keeps the folder up to date.

    Closing the iterator early saves; a later call goes on from there. On a CPU the process keeps its memory
    from now on (see `malloc`).

    Args:
        run, pictures, device: what, on what, where.
        stop: asked before each step; of several processes the first decides for all.
        watch: passes the bare steps on and may look at how they are taken, as a `StepProfiler` does; only in
            the first of several processes.
        compiled: compiles the network before it trains, and hears how many seconds that took.

    Yields:
        a `TrainStep` after each step; where the run goes back (see `guards`), from an older step on again.

    Raises:
        UnnoiseError: when it goes wrong again and again; the last good state stays.
    """
    accelerator = _accelerator(device)
    if accelerator.device.type == "cpu":
        malloc.keep_freed_memory()
    parts = split(len(pictures), run.config.data.held_out, run.config.seed)
    guards = Guards(run, pictures, parts.training) if accelerator.is_main_process else None
    accelerator.wait_for_everyone()  # the first may have tidied up
    while (yield from _stretch(run, pictures, parts, device, stop, guards, watch, compiled)):
        pass


def _stretch(
    run: Run,
    pictures: KnownPictures,
    parts: Split,
    device: torch.device | str,
    stop: Callable[[], bool],
    guards: Guards | None,
    watch: Callable[[Iterator[TrainStep]], Iterator[TrainStep]],
    compiled: Callable[[float], object] | None,
) -> Generator[TrainStep, None, bool]:
    """Trains until the end, or until something goes wrong; returns whether to go on from an older state."""
    config, accelerator = run.config, _accelerator(device)
    batches = _batches(run.config, pictures, parts, accelerator)
    prepare = partial(_compile, batches, config.accumulate, compiled) if compiled else lambda _: None
    diffusion, changes, progress = _restored(run, accelerator, device, prepare)
    if guards is not None:
        _tell_of_other_processes(run, diffusion)
    monitor = None if guards is None else Monitor(run, diffusion, pictures, parts, progress)

    def check() -> None:
        if stop() and coordinator.alone:
            raise Interrupted

    def spent(now: Progress) -> float:
        converged = config.until_converged and monitor is not None and monitor.verdict is not None
        return coordinator.spent(lambda: 1.0 if converged or stop() else config.budget.spent(*now))

    coordinator = Coordinator(accelerator, partial(draw_samples, diffusion.ema, config, each_step=check))
    seed, accumulate = changes.seed(config.seed), config.accumulate
    iterator = steps(diffusion, batches, config.budget, progress, seed=seed, accumulate=accumulate, spent=spent)
    if guards is None:
        yield from iterator
        return coordinator.stay()
    draw = partial(coordinator.pictures, len(SAMPLE_SEEDS))
    with (
        coordinator,
        Recorder(run, diffusion, _tested(batches, parts), progress, monitor, guards, draw) as recorder,
    ):
        try:
            yield from recorder.record(watch(iterator))
        except Fault as fault:
            guards.go_back(fault, recorder.progress)
            return coordinator.end(again=True)
    return False


def _batches(config: RunConfig, pictures: KnownPictures, parts: Split, accelerator: Accelerator) -> Batches:
    share = {"rank": accelerator.process_index, "processes": accelerator.num_processes}
    size, flip = config.recipe.batch_size, config.data.flip
    return Batches(pictures, parts.training, size, config.seed, flip=flip, **share)


def _compile(batches: Batches, accumulate: int, told: Callable[[float], object], diffusion: Diffusion) -> None:
    seconds = compile_training(
        diffusion, batches[0], batches.classes(0), part=batches.part, accumulate=accumulate
    )
    if seconds is not None:
        told(seconds)


def _restored(
    run: Run,
    accelerator: Accelerator,
    device: torch.device | str,
    prepare: Callable[[Diffusion], object],
) -> tuple[Diffusion, Changes, Progress]:
    """The diffusion as it was saved last, or as it begins, with what was changed since its recipe.

    It is prepared before several processes share it.
    """
    # One process trains where it is told to; of several, Accelerate gives each a device of its own.
    diffusion = run.config.build(device if accelerator.num_processes == 1 else accelerator.device)
    with accelerator.main_process_first():  # it also puts aside what is damaged
        restored = run.restore(diffusion)
    changes = Changes.of(read_events(run.path))
    progress = changes.apply(diffusion, restored)
    prepare(diffusion)
    distribute(diffusion, accelerator)
    return diffusion, changes, progress


def _tested(batches: Batches, parts: Split) -> list[Batch]:
    chosen = parts.held_out[:_TESTED_PICTURES]
    chunks = [chosen[i : i + 64] for i in range(0, len(chosen), 64)]
    return [(batches.pictures.take(chunk), batches.classes_at(chunk)) for chunk in chunks]


def _accelerator(device: torch.device | str) -> Accelerator:
    # Precision is ours (Diffusion.denoise), whatever the launcher's settings say.
    return Accelerator(cpu=torch.device(device).type == "cpu", mixed_precision="no")


def _tell_of_other_processes(run: Run, diffusion: Diffusion) -> None:
    """Says what can't be the same where other processes go on than those that saved."""
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
        f"This run was trained by {before} process(es) until now, and goes on with {now}: the batches, their "
        f"order and all noise stay the same, but {' and '.join(inexact)}, so the last digits differ.",
        stacklevel=2,
    )
