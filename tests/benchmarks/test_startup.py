"""Tests of the benchmark of start-up times: up to the first step of training, and only of what succeeds."""

import os
import subprocess
import sys

import pytest

from benchmarks import first_step, startup
from benchmarks.startup import PYTHON, TORCH, Command

ONE_STEP = """
import sys
from benchmarks import first_step
from unnoise import cli
sys.meta_path.insert(0, first_step.FirstStepFinder())
assert "torch" not in sys.modules
from unnoise.diffusion.diffusion import Diffusion
import torch
class Network(torch.nn.Conv2d):
    def forward(self, images, conditions):
        return super().forward(images)
diffusion = Diffusion(Network(1, 1, 1), (1, 4, 4))
print("before", flush=True)
diffusion.train_step(torch.rand(2, 1, 4, 4))
print("after", flush=True)
"""


def test_the_process_ends_after_its_first_step():
    done = subprocess.run(
        [sys.executable, "-c", ONE_STEP], capture_output=True, text=True, env=dict(os.environ)
    )
    assert (done.returncode, done.stdout) == (first_step.DONE, "before\n"), done.stderr


def test_a_command_that_fails_or_trains_nothing_is_refused(tmp_path):
    help_only = Command([sys.executable, "-m", "benchmarks.first_step", "--help"], first_step.DONE)
    with pytest.raises(RuntimeError, match="ended with 0"):
        startup.seconds(help_only, tmp_path)
    wrong = startup.commands("no-such-source", "cpu", tmp_path / "run")
    with pytest.raises(RuntimeError, match=r"ended with 2: unnoise: .*no-such-source"):
        startup.seconds(wrong["`unnoise train no-such-source` to its first step"], tmp_path)


def test_each_turn_runs_every_command_with_a_new_folder(monkeypatch):
    called = []

    def seconds(command, cache):
        called.append((command.arguments, cache))
        return float(len(called))

    monkeypatch.setattr(startup, "seconds", seconds)
    taken = startup.measure("digits", "cpu", 2)
    assert list(taken.values()) == [[6 + place, 11 + place] for place in range(5)]  # the first turn warms up
    assert len({cache for _, cache in called}) == 1
    runs = [arguments[arguments.index("--out") + 1] for arguments, _ in called if "--out" in arguments]
    assert len(set(runs)) == len(runs) == 3


def test_the_table_has_median_fastest_and_what_python_takes():
    taken = {name: [0.2, 0.1, 0.4] for name in startup.commands("digits", "cpu", startup.Path("run"))}
    taken[PYTHON], taken[TORCH] = [0.05], [2.0]
    row = "| `unnoise train digits` to its first step | 0.200 | 0.100 | 0.150 | 0.10 |"
    assert row in startup.time_table(taken)
