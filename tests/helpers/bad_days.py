"""What happens to a run while it trains, or between two times: rows of docs/reliability.md."""

import contextlib
import io
import itertools
import os
import shlex
import signal
import warnings
from collections.abc import Callable

import torch

from helpers.reliability import Case, Outcome, Place
from unnoise.cli import run
from unnoise.data import load
from unnoise.diffusion.diffusion import Diffusion
from unnoise.runs.checkpoint import Run
from unnoise.utils import files
from unnoise.utils.tensor_files import read_tensors, write_tensors
from unnoise.utils.timers import BudgetTimer

GO_ON = ("train", "digits", "--out", "run", "--device", "cpu", "--resume", "--steps", "6")


def happened(
    title: str, spoil: Callable[[Place], object], *, code: int = 0, reached: int = 6, tells: str = "unnoise: "
) -> Case:
    """A tiny run goes on from step 3 to step 6, if it can, and `spoil` sees to it that something happens."""

    def act(place: Place) -> Outcome:
        folder = place.run()
        spoil(place)
        told = io.StringIO()
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stderr(told),
            contextlib.redirect_stdout(io.StringIO()),
        ):
            warnings.simplefilter("always")
            assert run(GO_ON) == code, told.getvalue()
        place.patches.undo()
        assert "Traceback" not in told.getvalue()
        step, weights = Run.open(folder).states()[0].stem, Run.open(folder).load().network.state_dict()
        assert int(step) == reached, step
        assert all(bool(tensor.isfinite().all()) for tensor in weights.values())
        said = [line for line in told.getvalue().splitlines() if line.startswith(tells)]
        assert said, told.getvalue()
        sentences = [line.removeprefix("unnoise: ") for line in dict.fromkeys(said)]
        end = f"It reached step {reached}." if not code else f"Step {reached} stays saved."
        return Outcome(shlex.join(["unnoise", *GO_ON]), " ".join([*sentences, end]))

    return Case("What happens to a run", title, act)


def second_state(place: Place) -> Run:
    """Saves once more, at step 4, so that there are two states."""
    opened = Run.open(place.folder / "run")
    diffusion = opened.config.build()
    progress = opened.restore(diffusion)
    opened.save(diffusion, progress._replace(step=4, images=64))
    return opened


def flipped(place: Place) -> None:
    state = second_state(place).states()[0]
    data = bytearray(state.read_bytes())
    data[-100] ^= 8
    state.write_bytes(data)


def truncated(place: Place) -> None:
    state = second_state(place).states()[0]
    state.write_bytes(state.read_bytes()[:5000])


def all_damaged(place: Place) -> None:
    (state,) = Run.open(place.folder / "run").states()
    # It can be read, but the checksum is of other weights.
    tensors, facts = read_tensors(state)
    write_tensors(state, tensors, facts)
    data = bytearray(state.read_bytes())
    data[-1] ^= 1
    state.write_bytes(data)


def wrong_number(kind: str) -> Callable[[Place], None]:
    """In the step from 4 to 5, once."""

    def spoil(place: Place) -> None:
        step, calls = Diffusion.train_step, itertools.count(1)

        def faulty(diffusion: Diffusion, *arguments: object, **options: object):
            weight = next(diffusion.weights.average.source.parameters())
            kept = weight.detach().clone()
            if next(calls) == 2:
                if kind == "loss":
                    weight.data.fill_(torch.nan)
                else:
                    handle = weight.register_hook(lambda gradient: gradient * torch.inf)
            result = step(diffusion, *arguments, **options)
            if kind == "loss" and not bool(weight.isfinite().all()):
                weight.data.copy_(kept)
            if kind == "gradient" and not bool(result.gradient_norm.isfinite()):
                handle.remove()
            return result

        place.patches.setattr(Diffusion, "train_step", faulty)

    return spoil


def full_disk(place: Place) -> None:
    """Three files in a row can't be written, while there is another save at each step."""
    load("digits")  # what is in the cache by now needs no room
    place.patches.setattr(BudgetTimer, "due", lambda *_: True)
    flush, calls = os.fsync, itertools.count(1)

    def full(opened: int) -> None:
        if 8 <= next(calls) < 11:
            raise OSError(28, "No space left on device")
        flush(opened)

    place.patches.setattr(files.os, "fsync", full)


def asked_by(number: signal.Signals) -> Callable[[Place], None]:
    """In the step from 4 to 5."""

    def spoil(place: Place) -> None:
        step, calls = Diffusion.train_step, itertools.count(1)

        def interrupted(diffusion: Diffusion, *arguments: object, **options: object):
            if next(calls) == 2:
                signal.raise_signal(number)
            return step(diffusion, *arguments, **options)

        place.patches.setattr(Diffusion, "train_step", interrupted)

    return spoil


CASES = [
    happened("a bit of the newest state flipped", flipped),
    happened("the newest state cut off", truncated),
    happened("the only state damaged", all_damaged, code=2, reached=3),
    happened("a loss that is no number", wrong_number("loss")),
    happened("a gradient that is infinite", wrong_number("gradient")),
    happened("no room on the disk for a while", full_disk),
    happened("Ctrl-C", asked_by(signal.SIGINT), reached=5, tells=("Finishing", "Stopped")),
    happened("SIGTERM", asked_by(signal.SIGTERM), reached=5, tells=("Finishing", "Stopped")),
    happened("SIGUSR1", asked_by(signal.SIGUSR1), reached=5, tells=("Finishing", "Stopped")),
]
