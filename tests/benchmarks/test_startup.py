"""A start is timed up to the first step of training and not beyond, and what fails is not timed at all."""

import os
import subprocess
import sys
from functools import partial

import pytest

from benchmarks import first_step, startup
from benchmarks.startup import PYTHON, TORCH, Command

WATCHED = """
import sys
from benchmarks import first_step
from unnoise import cli
sys.meta_path.insert(0, first_step._Finder())
assert "torch" not in sys.modules
from unnoise.diffusion.diffusion import Diffusion
import torch
diffusion = Diffusion(torch.nn.Conv2d(1, 1, 1), (1, 4, 4))
diffusion.network.forward = lambda images, conditions: diffusion.network._conv_forward(
    images, diffusion.network.weight, diffusion.network.bias)
print("before", flush=True)
diffusion.train_step(torch.rand(2, 1, 4, 4))
print("after", flush=True)
"""


def test_the_process_ends_with_its_first_step():
    done = subprocess.run([sys.executable, "-c", WATCHED], capture_output=True, text=True, env=dict(os.environ))
    assert (done.returncode, done.stdout) == (first_step.DONE, "before\n"), done.stderr


def test_a_command_that_trains_nothing_is_told_from_one_that_does(tmp_path):
    help_only = Command([sys.executable, "-m", "benchmarks.first_step", "--help"], first_step.DONE)
    with pytest.raises(RuntimeError, match="ended with 0"):
        startup.seconds(help_only, tmp_path)
    wrong = startup.commands("no-such-source", "cpu", tmp_path / "run")
    with pytest.raises(RuntimeError, match=r"ended with 2: unnoise: .*no-such-source"):
        startup.seconds(wrong["`unnoise train no-such-source` to its first step"], tmp_path)


def test_turns_alternate_and_the_first_counts_for_nothing(monkeypatch):
    order = []

    def seconds(command, cache):
        order.append((command.arguments[0], command.arguments[1].name))
        return float(len(order))

    monkeypatch.setattr(startup, "seconds", seconds)
    taken = startup.measure(lambda run: {"a": Command(["a", run]), "b": Command(["b", run])}, 2)
    assert order == [(name, f"run-{turn}") for turn in range(3) for name in "ab"]
    assert taken == {"a": [3.0, 5.0], "b": [4.0, 6.0]}


def test_the_page():
    asked = partial(startup.commands, "digits", "cpu")
    taken = {name: [0.2, 0.1, 0.4] for name in asked(startup.Path("run"))}
    taken[PYTHON], taken[TORCH] = [0.05], [2.0]
    text = "\n".join(startup.page(taken))
    assert "`unnoise --help` takes 0.20 s" in text
    assert "| `unnoise train digits` to its first step | 0.200 | 0.100 | 0.150 | 0.10 |" in text
