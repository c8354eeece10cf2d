"""Faults of a run while it trains, or between two sessions: rows of docs/reliability.md."""

import contextlib
import io
import itertools
import os
import shlex
import shutil
import signal
import warnings
from collections.abc import Callable

import torch

from helpers.previews import draw_previews
from helpers.reliability import Case, Outcome, Place, refused
from unnoise.cli import run
from unnoise.data import load
from unnoise.diffusion.diffusion import Diffusion
from unnoise.runs.checkpoint import Run
from unnoise.utils import files
from unnoise.utils.tensor_files import read_tensors, write_tensors
from unnoise.utils.timers import BudgetTimer

GO_ON = ("train", "digits", "--out", "run", "--device", "cpu", "--resume", "--steps", "6")


def fault(
    title: str, spoil: Callable[[Place], object], *, code: int = 0, reached: int = 6, tells: str = "unnoise: "
) -> Case:
    """Resumes a tiny run at step 3 to train until step 6, while `spoil` causes a fault."""

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
    # It can be read, but its checksum does not match.
    tensors, facts = read_tensors(state)
    write_tensors(state, tensors, facts)
    data = bytearray(state.read_bytes())
    data[-1] ^= 1
    state.write_bytes(data)


def wrong_number(kind: str) -> Callable[[Place], None]:
    """Makes a loss or gradient not finite in the step from 4 to 5, once."""

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
    """Three files in a row cannot be written, while every step saves."""
    load("digits")  # so that the cache needs no more space
    place.patches.setattr(BudgetTimer, "due", lambda *_: True)
    draw_previews(place.patches)
    flush, calls = os.fsync, itertools.count(1)

    def full(opened: int) -> None:
        if 8 <= next(calls) < 11:
            raise OSError(28, "No space left on device")
        flush(opened)

    place.patches.setattr(files.os, "fsync", full)


def stopped_by(number: signal.Signals) -> Callable[[Place], None]:
    """Sends a signal in the step from 4 to 5."""

    def spoil(place: Place) -> None:
        step, calls = Diffusion.train_step, itertools.count(1)

        def interrupted(diffusion: Diffusion, *arguments: object, **options: object):
            if next(calls) == 2:
                signal.raise_signal(number)
            return step(diffusion, *arguments, **options)

        place.patches.setattr(Diffusion, "train_step", interrupted)

    return spoil


def without_states(place: Place) -> tuple[str, ...]:
    shutil.rmtree(place.run() / "training")
    return GO_ON


def other_network(place: Place) -> tuple[str, ...]:
    place.run()
    return ("train", "digits", "--out", "new", "--init", "run", "--preset", "small", "--steps", "1")


CASES = [
    fault("a bit of the newest state flipped", flipped),
    fault("the newest state cut off", truncated),
    fault("the only state damaged", all_damaged, code=2, reached=3),
    fault("a loss that is NaN", wrong_number("loss")),
    fault("a gradient that is infinite", wrong_number("gradient")),
    fault("a full disk for a while", full_disk),
    fault("Ctrl-C", stopped_by(signal.SIGINT), reached=5, tells=("Finishing", "Stopped")),
    fault("SIGTERM", stopped_by(signal.SIGTERM), reached=5, tells=("Finishing", "Stopped")),
    fault("SIGHUP, as the terminal ends", stopped_by(signal.SIGHUP), reached=5, tells=("Finishing", "Stopped")),
    refused("What happens to a run", "its states deleted", without_states),
    refused("What happens to a run", "the weights of another network to start from", other_network),
    fault("SIGUSR1", stopped_by(signal.SIGUSR1), reached=5, tells=("Finishing", "Stopped")),
]
