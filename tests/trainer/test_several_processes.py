"""Several processes: four train as one does, and wait for each other without a time-out."""

import os
import signal
import subprocess
import sys
from contextlib import nullcontext
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from safetensors.torch import load_file

from helpers import training_process
from helpers.rank_tasks import stop_early, wait
from helpers.ranks import command_line, run_ranks
from helpers.runs import digits, start, until_trained, with_few_walks
from unnoise.runs.checkpoint import Run
from unnoise.runs.config import Budget
from unnoise.runs.distillation import distilled_config
from unnoise.runs.history import read_history
from unnoise.trainer.distributed import distribute
from unnoise.trainer.loop import train

HERE = Path(__file__).parents[1]
STEPS = 30
CHANGES = ["batch_size=64", "network.widths=[16,32]", "optimizer.learning_rate=2e-3"]
"""Groups of two channels or more: a bias before a norm of one channel has no gradient but rounding errors."""


def started(processes: int, *arguments: object) -> subprocess.Popen[str]:
    paths = os.pathsep.join([str(HERE.parent), str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])])
    command = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes)]
    return subprocess.Popen(
        [sys.executable, *command, *map(str, arguments)],
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": paths},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def distilled(path: Path) -> Run:
    """A run that learns to jump from the walks of one that has learned a little."""
    old = start(path.with_name(f"{path.name}-old"), 2, recipe_changes=CHANGES)
    for _ in train(old, digits()):
        pass
    return Run.create(path, with_few_walks(distilled_config(old, Budget(unit="steps", amount=STEPS / 3))))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("processes", "make"),
    [(4, partial(start, steps=STEPS, recipe_changes=CHANGES)), (2, distilled)],
    ids=["four", "distilled"],
)
def test_several_processes_train_as_one(tmp_path, processes, make):
    """As one with the whole batch: losses, weights and averages to 1e-5, in each process."""
    alone = make(tmp_path / "one")
    losses = [step.result.loss.item() for step in train(alone, digits())]
    shared = make(tmp_path / "shared")
    done = run_ranks(processes, training_process.main, shared.path)
    assert done.codes == [0] * processes, done.err
    assert "strides" not in "".join(done.err)
    assert np.ptp(losses) > 0.01  # it learned
    left, right = (load_file(run.states()[0]) for run in (alone, shared))
    names = [name for name in left if name.startswith(("network.", "average."))]
    for name in names:
        torch.testing.assert_close(right[name], left[name], rtol=0, atol=1e-5, msg=name)
    for rank in range(processes):
        found = np.load(shared.path / f"rank-{rank}.npz")
        np.testing.assert_allclose(found["losses"], losses, rtol=0, atol=1e-5)
        for name in [name for name in names if name.startswith("average.")]:
            np.testing.assert_array_equal(found[name.replace("average", "ema", 1)], right[name].numpy())


@pytest.mark.slow
def test_the_command_line_says_everything_once(tmp_path):
    """Also where the cache cannot be written, so that each process decodes for itself.

    Each takes half of every batch, and the first alone writes.
    """
    (tmp_path / "store").write_text("not a folder")
    np.save(tmp_path / "x.npy", np.random.default_rng(0).random((48, 8, 8)))
    words = ["--steps", 2, "--batch-size", 8, "--device", "cpu", "--preset", "nano"]
    with pytest.MonkeyPatch.context() as patches:
        patches.setenv("UNNOISE_CACHE", str(tmp_path / "store"))
        words = ["train", tmp_path / "x.npy", "--out", tmp_path / "run", *words]
        done = run_ranks(2, command_line, words)
    assert done.codes == [0, 0], done.err
    told = " ".join("".join(done.err).split())
    assert told.count("Cannot write the cache") == 1
    assert "strides" not in told
    assert "Traceback" not in told
    made = Run.open(tmp_path / "run")
    assert [path.stem for path in made.states()] == ["0000000002"]
    assert read_history(made.path / "history.csv")[-1].images == 16
    assert len((made.path / "progress.jsonl").read_text().splitlines()) == 1
    assert "".join(done.out).count("run: ") == 1
    again = run_ranks(2, command_line, ["train", tmp_path / "x.npy", "--dry-run", "--preset", "nano"])
    assert "".join(again.out).count('"format"') == 1


@pytest.mark.slow
def test_ranks_wait_longer_than_a_collective_would(tmp_path):
    """For what rank 0 decodes, and for what it decides; where it fails, none goes on, and none prints why."""
    done = run_ranks(2, wait, tmp_path)
    assert sorted(path.name for path in tmp_path.glob("passed-*")) == ["passed-0", "passed-1"], done.err
    assert done.codes[0] == 2
    assert not (tmp_path / "went-on").exists()


STOPPED = """
import os, sys
from pathlib import Path
from unnoise.cli import run

place, *words = sys.argv[1:]
code = run(words)
Path(place, f"code-{os.environ['RANK']}").write_text(str(code))
sys.exit(code)
"""
ENDLESS = ("train", "digits", "--steps", 100000, "--batch-size", 4, "--device", "cpu", "--preset", "nano")


def printed(folder: Path) -> list[str]:
    """What each process printed as messages."""
    return [next((folder / "logs").rglob(f"{rank}/stderr.log")).read_text() for rank in range(2)]


@pytest.mark.slow
def test_sigterm_saves_and_each_process_exits_with_0(tmp_path):
    """As a single process does; the first alone says so. What torchrun then prints itself is not ours."""
    (tmp_path / "script.py").write_text(STOPPED)
    logs = ["--redirects", "3", "--log-dir", tmp_path / "logs"]
    process = started(2, *logs, tmp_path / "script.py", tmp_path, *ENDLESS, "--out", tmp_path / "run")
    until_trained(process, tmp_path / "run")
    process.send_signal(signal.SIGTERM)
    process.communicate()
    told, other = printed(tmp_path)
    assert [(tmp_path / f"code-{rank}").read_text() for rank in range(2)] == ["0", "0"], told + other
    assert told.count("Finishing this step and saving.") == 1
    assert told.count("Stopped and saved: the same command with --resume goes on.") == 1
    assert "Traceback" not in told
    assert other.strip() == ""
    assert len(Run.open(tmp_path / "run").states()) == 1


@pytest.mark.slow
def test_the_others_stop_with_the_first_before_its_first_step(tmp_path):
    """Where the signal reaches the first alone, or earlier: none waits for it in vain, none fails."""
    done = run_ranks(2, stop_early, [*map(str, ENDLESS), "--out", str(tmp_path / "run")])
    told, other = done.err
    assert done.codes == [0, 0], told + other
    assert "Stopped before the first step: nothing was trained, and nothing is lost." in told
    assert other.strip() == ""


class OneOfTwo(Accelerator):
    """What `distribute` asks of Accelerate, without a second process."""

    num_processes = 2
    device = torch.device("cpu")

    def __init__(self):
        """Starts nothing."""

    def prepare_model(self, network, **_):
        network.no_sync = nullcontext
        return network

    def prepare_optimizer(self, optimizer, **_):
        return optimizer

    def backward(self, loss):
        loss.backward()

    def reduce(self, values, _how):
        return values

    def gather(self, values):
        return values


@pytest.mark.parametrize(
    "changes",
    [
        [],
        ["network.block=convnext"],
        ["network.block=book", "network.normalization=batch"],
        ['network.attention=["linear","full"]'],
        ["network.upsampling=bilinear", "network.modulation=add"],
    ],
)
@pytest.mark.parametrize("accumulate", [1, 2])
def test_gradients_lie_in_memory_as_their_weights_do(tmp_path, changes, accumulate):
    """Or DistributedDataParallel would copy them, and warn: 1 x 1 convolutions, with the channels last."""
    run = start(tmp_path / "run", 1, recipe_changes=changes)
    images = digits().take(range(8))
    alone, shared = run.config.build(), run.config.build()
    distribute(shared, OneOfTwo())
    found = [diffusion.train_step(images, accumulate=accumulate) for diffusion in (alone, shared)]
    assert torch.equal(found[0].loss, found[1].loss)
    parameters = dict(shared.network.named_parameters())
    assert any(1 in weight.shape and weight.ndim == 4 for weight in parameters.values())
    for name, weight in parameters.items():
        if weight.grad is not None:
            assert weight.grad.stride() == weight.stride(), name
    for left, right in zip(alone.network.parameters(), parameters.values(), strict=True):
        assert torch.equal(left, right)


@pytest.mark.slow
def test_two_processes_make_one_distilled_run(tmp_path):
    old, new = distilled(tmp_path / "run").config.init, tmp_path / "new"
    words = ["distill", old, "--steps", 2, "--out", new, "--device", "cpu"]
    done = run_ranks(2, command_line, words)
    assert done.codes == [0, 0], done.err
    assert Run.open(new).saved_progress().step == 2
    assert done.err[0].count("Starting from the averaged weights of") == 1
    assert "Starting from" not in done.err[1]
    again = run_ranks(2, command_line, words)
    assert again.codes[0] == 2
    assert "already holds a run" in again.err[0], again.err
    assert "Traceback" not in "".join(again.err)
