"""Training in child processes that are killed at a chosen moment, for tests.

Children are forked from a server that has imported everything, so that each takes a second.
"""

import faulthandler
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path
from typing import Literal, NamedTuple

from unnoise.utils.tensor_files import read_tensors

SOURCE = "pictures.npy"
STEPS = 6
_IMPORTED = (
    "helpers.killed",
    "unnoise.trainer.loop",
    "unnoise.data.loading",
    "unnoise.runs.plan",
    "unnoise.cli.commands.train",
    "unnoise.reports.doctor",
    "torch._dynamo",
    "torch.distributed",
    "accelerate",
    "typeguard",
    "numpy.ma",
    "PIL.JpegImagePlugin",
    "PIL.PngImagePlugin",
    "matplotlib.pyplot",  # this and the next two for pages of the guide
    "matplotlib.backends.backend_agg",
    "IPython.display",
    "helpers.warm_start",  # last
)


class Aim(NamedTuple):
    """A signal at the n-th time that something is done, however fast the machine is."""

    what: str
    """`half` of a file of tensors is written; `flush` or `name`, of a file; `sweep`, the removal of one;
    `twice`, two Ctrl-C in a training step; or `call`, of any function, while signals are answered."""
    count: int
    after: bool = False
    """Once it is done, or just before."""
    number: int = signal.SIGKILL
    """What a `call` is answered with."""


Log = Literal["file", "closed", "full"]
"""Where a child prints to: a file, a pipe that nobody reads, or a full disk."""


class Pause(NamedTuple):
    """A wait before the n-th step of a session, until the other end of a pipe answers."""

    step: int
    end: Connection


def server() -> ForkServerContext:
    """Where children come from.

    A process has one such server, which imports what the first to start it asks for: all tests take this one.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(_IMPORTED))
    return context


def begin(
    context: ForkServerContext,
    folder: Path,
    aim: Aim | None = None,
    quota: int = 0,
    log: Log = "file",
    pause: Pause | None = None,
) -> ForkServerProcess:
    """Starts a child that trains the run in `folder`, from wherever it is."""
    child = context.Process(target=_train, args=(str(folder), aim, quota, log, pause))
    child.start()
    if pause is not None:
        pause.end.close()
    return child


def files_of(run: Path) -> dict[str, tuple[bytes, dict[str, str]]]:
    """What must be the same: the last state, the averaged weights, and the averages that were stored."""
    (*_, state) = sorted((run / "training").glob("[0-9]*.safetensors"))
    assert state.stem == f"{STEPS:010d}"
    return {path.name: content(path) for path in (state, run / "model.safetensors", *(run / "ema").iterdir())}


def content(path: Path) -> tuple[bytes, dict[str, str]]:
    """All tensors, and the facts but for what can't be the same: the time that it took."""
    data, (_, facts) = path.read_bytes(), read_tensors(path)
    facts.pop("seconds", None)
    return data[8 + int.from_bytes(data[:8], "little") :], facts


def weights(files: dict[str, tuple[bytes, dict[str, str]]]) -> list[tuple[bytes, dict[str, str]]]:
    """But for averages on the way: for those there may have been no room."""
    return [files[name] for name in (f"{STEPS:010d}.safetensors", "model.safetensors")]


def finished(context: ForkServerContext, run: Path) -> dict[str, tuple[bytes, dict[str, str]]]:
    """Trains the run to its end, and returns its files."""
    child = begin(context, run)
    child.join()
    assert child.exitcode == 0, run.with_suffix(".err").read_text()
    return files_of(run)


def _open_log(folder: str, log: Log) -> None:
    """Sends standard output and error to a file and nowhere, or both to where nothing can be written."""
    if log == "file":
        os.dup2(os.open(f"{folder}.err", os.O_WRONLY | os.O_CREAT | os.O_APPEND), 2)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return
    if log == "closed":
        reading, writing = os.pipe()
        os.close(reading)
    else:
        writing = os.open("/dev/full", os.O_WRONLY)
    os.dup2(writing, 1)
    os.dup2(writing, 2)


def _wait(pause: Pause) -> None:
    """At the given step, says so to the test and waits until it answers."""
    from unnoise.diffusion import diffusion

    step, left = diffusion.Diffusion.train_step, [pause.step]

    def waiting(*arguments: object, **options: object) -> object:
        left[0] -= 1
        if left[0] == 0:
            pause.end.send("here")
            pause.end.recv()
        return step(*arguments, **options)

    diffusion.Diffusion.train_step = waiting


def _train(folder: str, aim: Aim | None, quota: int, log: Log, pause: Pause | None) -> None:
    import torch

    from unnoise import pictures
    from unnoise.cli import run
    from unnoise.trainer import recorder as recording
    from unnoise.trainer.previews import rhythm, sizes
    from unnoise.utils.timers import BudgetTimer

    torch.set_num_threads(1)
    os.fsync = lambda _: None  # what a killed process has written stays: only a power failure asks for more
    _open_log(folder, log)
    faulthandler.dump_traceback_later(120, repeat=True)  # fails nothing: shows where a child hangs
    BudgetTimer.due = lambda *_: True  # saves after every step
    largest = lambda _, costs, *__: rhythm.Choice(len(costs) - 1, complete=True)  # noqa: E731
    rhythm.PreviewRhythm.choose = rhythm.PreviewRhythm.choose_last = largest
    # Pictures take longer than all else, and have a test of their own.
    blank = pictures.grid(torch.zeros(1, 1, 8, 8))
    recording.pictures.loss_curve = lambda _: blank
    sizes.SAMPLE_SEEDS = range(2)
    if aim is not None and aim.what == "call":
        _count_calls(aim, calls_file(folder))
    elif aim is not None:
        _die(aim)
    if quota:
        _fill_up(quota)
    if pause is not None:
        _wait(pause)
    resume = ["--resume"] if (Path(folder) / "config.json").is_file() else []
    os.chdir(Path(folder).parent)
    changes = ["network.widths=[8,16]", 'network.attention=["none","full"]', "network.block_depth=1"]
    changes += ["sampling.num_steps=2"]
    more = [] if resume else ["--steps", str(STEPS), "--held-out", "8", "--batch-size", "16", "--set", *changes]
    os._exit(run(["train", SOURCE, "--out", folder, "--device", "cpu", *more, *resume]))


def calls_file(folder: str | Path) -> Path:
    """Where a child that was given a `call` writes how many functions it had called at the end."""
    return Path(f"{folder}.calls")


def _count_calls(aim: Aim, told: Path) -> None:
    """Sends the process a signal at the n-th call, of those that its first thread makes while it would answer.

    Before, in the first tenths of a second, and after, when all is saved, a process just ends.
    """
    from unnoise.api.stopping import StopSignals

    enter, leave, seen = StopSignals.__enter__, StopSignals.__exit__, [0]

    def called(_frame: object, event: str, _: object) -> None:
        if event not in {"call", "c_call"}:
            return
        seen[0] += 1
        if seen[0] == aim.count:
            os.kill(os.getpid(), aim.number)

    def entered(stop: StopSignals) -> StopSignals:
        result = enter(stop)
        sys.setprofile(called)
        return result

    def left(stop: StopSignals, *raised: object) -> bool:
        sys.setprofile(None)
        told.write_text(str(seen[0]))
        return leave(stop, *raised)

    StopSignals.__enter__, StopSignals.__exit__ = entered, left


def _die(aim: Aim) -> None:
    """Replaces what the aim is at by something that kills the process at the n-th call."""
    from unnoise.diffusion import diffusion
    from unnoise.utils import files, tensor_files

    left = [aim.count]

    def deadly(action: Callable[..., object]) -> Callable[..., object]:
        def done(*arguments: object, **options: object) -> object:
            left[0] -= 1
            if left[0] == 0 and not aim.after:
                os.kill(os.getpid(), signal.SIGKILL)
            result = action(*arguments, **options)
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        return done

    def half(tensors: object, path: Path, **options: object) -> None:
        save(tensors, path, **options)
        if left[0] == 0:  # the process is killed next, as if it had come no farther
            os.truncate(path, path.stat().st_size // 2)

    def impatient(step: Callable[..., object]) -> Callable[..., object]:
        def done(*arguments: object, **options: object) -> object:
            left[0] -= 1
            for _ in range(2 if left[0] == 0 else 0):
                signal.raise_signal(signal.SIGINT)
            return step(*arguments, **options)

        return done

    save = tensor_files.save_file
    match aim.what:
        case "half":
            tensor_files.save_file = deadly(half)
        case "flush":
            files.os.fsync = deadly(os.fsync)
        case "name":
            files.Path.replace = deadly(Path.replace)
        case "sweep":
            files.Path.unlink = deadly(Path.unlink)
        case "twice":
            diffusion.Diffusion.train_step = impatient(diffusion.Diffusion.train_step)


def _fill_up(quota: int) -> None:
    """From the `quota`-th file on the disk is full, for three files."""
    from unnoise.utils import files

    flush, seen = os.fsync, [0]

    def full(opened: int) -> None:
        seen[0] += 1
        if quota <= seen[0] < quota + 3:
            raise OSError(28, "No space left on device")
        with suppress(OSError):
            flush(opened)

    files.os.fsync = full
