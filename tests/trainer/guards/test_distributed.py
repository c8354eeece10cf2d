"""Rollbacks in distributed training: rank 0 decides, and all ranks go back together."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from unnoise.runs.checkpoint import Run
from unnoise.runs.history import read_events, read_history

SCRIPT = """
import math, sys
from pathlib import Path
import torch
from accelerate import PartialState
from helpers.runs import digits, start
from unnoise.runs.checkpoint import Run
from unnoise.diffusion.diffusion import Diffusion
from unnoise.trainer.distributed import end_process_group
from unnoise.trainer.loop import train

state, path = PartialState(cpu=True), Path(sys.argv[1])
with state.main_process_first():
    run = start(path, 5) if state.is_main_process else Run.open(path)
losses, train_step, left = Diffusion.losses, Diffusion.train_step, [True]

def no_number(diffusion, *some, **more):  # in the middle, and only in the second process
    loss, found = losses(diffusion, *some, **more)
    if diffusion.weights.average.steps == 2 and torch.is_grad_enabled() and state.process_index == 1 and left:
        left.clear()
        return loss * math.nan, found
    return loss, found

def infinite(diffusion, *some, **more):  # at the very end, and only in the first
    result = train_step(diffusion, *some, **more)
    if diffusion.weights.average.steps == 5 and state.process_index == 0 and left:
        left.clear()
        with torch.no_grad():
            next(diffusion.weights.average.network.parameters()).fill_(math.inf)
    return result

Diffusion.losses, Diffusion.train_step = no_number, infinite
steps = [step.progress.step for step in train(run, digits(), "cpu")]
(path / f"steps-{state.process_index}").write_text(" ".join(map(str, steps)))
end_process_group(state)
"""


@pytest.mark.slow
def test_two_processes_roll_back_together(tmp_path):
    script, path = tmp_path / "script.py", tmp_path / "run"
    script.write_text(SCRIPT)
    command = [
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc_per_node",
        "2",
        str(script),
        str(path),
    ]
    paths = os.pathsep.join([str(Path(__file__).parents[2]), *sys.path])
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": paths}
    done = subprocess.run(
        [sys.executable, *command], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert (path / "steps-0").read_text() == "1 2 1 2 3 4 1 2 3 4 5"
    assert (path / "steps-1").read_text() == "1 2 3 1 2 3 4 5 1 2 3 4 5"
    events = read_events(path)
    assert [(event.step, event.kind) for event in events] == [
        (3, "non-finite loss"),
        (5, "non-finite weights"),
    ]
    assert [event.learning_rate_factor for event in events] == [0.5, 0.25]
    assert [state.stem for state in Run.open(path).states()] == ["0000000005"]
    assert read_history(path / "history.csv")[-1].step == 5
