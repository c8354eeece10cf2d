"""Runs without states are never started over; `train --init` starts a new run from their weights."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from helpers.command_line import ok, refused
from unnoise.runs.checkpoint import Run
from unnoise.utils.tensor_files import read_tensors


def gone(folder: Path) -> None:
    shutil.rmtree(folder)


def emptied(folder: Path) -> None:
    gone(folder)
    folder.mkdir()


def replaced_by_a_file(folder: Path) -> None:
    gone(folder)
    folder.write_text("archived")


@pytest.mark.parametrize("spoil", [gone, emptied, replaced_by_a_file])
def test_a_run_without_states_is_not_started_over(trained, capsys, spoil):
    shutil.copytree(trained, "r")
    spoil(Path("r/training"))
    before = {path: path.read_bytes() for path in Path("r").rglob("*") if path.is_file()}
    sentence = refused(capsys, "train", "digits", "--out", "r", "--resume", "--steps", 9)
    assert "r has weights (model.safetensors, step 3) but no state to go on from: r/training" in sentence
    assert "unnoise train PICTURES --out NEW --init r" in sentence
    assert before == {path: path.read_bytes() for path in Path("r").rglob("*") if path.is_file()}


def test_weights_without_a_config_are_not_written_over(trained, capsys):
    shutil.copytree(trained, "r")
    Path("r/config.json").unlink()
    sentence = refused(capsys, "train", "digits", "--out", "r", "--steps", 1)
    assert sentence.endswith("r already holds a run. Choose another folder with --out.")


def test_init_starts_from_the_averaged_weights(trained, capsys):
    """A learning rate that is nearly 0 keeps them; the config names the run, and resuming needs it no more."""
    slow = ("--set", "optimizer.learning_rate=1e-30", "optimizer.weight_decay=0")
    shutil.copytree(trained, "old")
    ok("train", "digits", "--out", "new", "--init", "old", "--steps", 1, *slow)
    assert "Starting from the averaged weights of old." in capsys.readouterr().err
    assert json.loads(Path("new/config.json").read_text())["init"] == "old"
    first, _ = read_tensors(Path("old/model.safetensors"))
    again, _ = read_tensors(Path("new/model.safetensors"))
    torch.testing.assert_close(again, first)
    shutil.rmtree("old")
    shutil.rmtree("new/training")
    Path("new/model.safetensors").unlink()
    run = Run.open(Path("new"))
    diffusion = run.config.build()
    assert run.restore(diffusion).step == 0
    torch.testing.assert_close(dict(diffusion.weights.average.source.state_dict()), first)


@pytest.mark.parametrize(
    "option",
    [("--preset", "small"), ("--channels", 3), ("--labels", "auto"), ("--set", "objective.predicts=noise")],
)
def test_weights_that_do_not_fit_are_refused_in_one_sentence(trained, capsys, option):
    sentence = refused(capsys, "train", "digits", "--out", "new", "--init", trained, "--steps", 1, *option)
    assert "do not fit the new run: its " in sentence
    assert not Path("new").exists()


def test_amounts_are_judged_before_a_picture_is_drawn(trained, capsys):
    big, last = 10**12, 2**63 - 1
    for arguments, told in (
        (("generate", trained, "--seed", last - 8, "--num-images", 10, "--out", "x"), "largest is 2^63 - 1"),
        (("generate", trained, "--num-images", 10**20, "--out", "x"), "largest is 2^63 - 1"),
        (("generate", trained, "--num-images", big, "--out", "x.png"), "of memory at once"),
        (("generate", trained, "--num-images", big, "--out", "x"), "are free at"),
        (("morph", trained, "--frames", big, "--out", "x.gif"), "of memory at once"),
        (("morph", trained, "--seeds", 1, 2**63, "--out", "x.gif"), "from 0 to 2^63 - 1"),
        (("evaluate", trained, "--num-samples", big), "of memory at once"),
        (("evaluate", trained, "--seed", last), "largest is 2^63 - 1"),
        (("solve", trained, "--num-samples", big), "of memory at once"),
        (("vary", trained, "--held-out", 1, "--num-variations", big), "of memory at once"),
    ):
        assert told in refused(capsys, *arguments)
    assert not list(Path.cwd().glob("x*"))
