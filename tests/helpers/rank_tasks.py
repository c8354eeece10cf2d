"""What single processes of a distributed training do in tests: wait, stop early, fail, go back, run scripts."""

import math
import os
import runpy
import signal
import sys
import time
from datetime import timedelta
from pathlib import Path

import torch
from accelerate import Accelerator, PartialState

from helpers.runs import digits, start
from unnoise.api import train_run
from unnoise.cli import run
from unnoise.diffusion.diffusion import Diffusion
from unnoise.runs.checkpoint import Run
from unnoise.trainer.distributed import Coordinator, end_process_group, rank_0_first
from unnoise.trainer.loop import train


def wait(told: Path) -> None:
    """Waits longer than a collective would, notes what was passed, and fails in the first process."""
    state = PartialState(cpu=True, timeout=timedelta(seconds=1))  # in place of 10 minutes
    leads = state.is_main_process
    for turn in range(2):
        with rank_0_first():
            if leads:
                time.sleep(2 - turn)
                (told / f"made-{turn}").touch()
            assert (told / f"made-{turn}").exists()
    coordinator = Coordinator(Accelerator(cpu=True), None)
    if leads:
        with coordinator:
            time.sleep(2)
            assert coordinator.spent(lambda: 0.25) == 0.25
    else:
        assert coordinator.spent(None) == 0.25
        assert coordinator.stay() is False
    (told / f"passed-{state.process_index}").touch()
    with rank_0_first():
        if leads:
            sys.exit(2)
        (told / "went-on").touch()
    state.destroy_process_group()


def script(folder: Path, path: Path, words: list[str]) -> None:
    """Runs a script with these arguments in a folder, as torchrun does."""
    os.chdir(folder)
    sys.argv = [str(path), *words]
    runpy.run_path(str(path), run_name="__main__")


def stop_early(words: list[str]) -> None:
    """The command line, whose first process is asked to stop before its first step."""
    if os.environ["RANK"] == "0":
        train_run.announce = lambda *_: signal.raise_signal(signal.SIGTERM)
    sys.exit(run(words))


def roll_back(path: Path) -> None:
    """Five steps: the third loss is no number in the second process, the last average infinite in the first."""
    state = PartialState(cpu=True)
    with state.main_process_first():
        opened = start(path, 5) if state.is_main_process else Run.open(path)
    losses, train_step, left = Diffusion.losses, Diffusion.train_step, [True]

    def no_number(diffusion, *some, **more):
        loss, found = losses(diffusion, *some, **more)
        here = diffusion.weights.average.steps == 2 and torch.is_grad_enabled() and state.process_index == 1
        if here and left:
            left.clear()
            return loss * math.nan, found
        return loss, found

    def infinite(diffusion, *some, **more):
        result = train_step(diffusion, *some, **more)
        if diffusion.weights.average.steps == 5 and state.process_index == 0 and left:
            left.clear()
            with torch.no_grad():
                next(diffusion.weights.average.network.parameters()).fill_(math.inf)
        return result

    Diffusion.losses, Diffusion.train_step = no_number, infinite
    steps = [step.progress.step for step in train(opened, digits(), "cpu")]
    (path / f"steps-{state.process_index}").write_text(" ".join(map(str, steps)))
    end_process_group(state)
