"""Runs that an earlier version wrote: every command still works on them.

`old_run` was trained for 40 steps on the digits by the version before the packages were reordered, and
`old_run_samples.png` was drawn from it by that version.
"""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from helpers.command_line import ok, refused
from unnoise.runs.checkpoint import Run
from unnoise.runs.history import read_history

HERE = Path(__file__).parent
CPU = ("--device", "cpu")


@pytest.fixture
def old_run(tmp_path, monkeypatch) -> Run:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("UNNOISE_CACHE", str(tmp_path / "cache"))
    return Run.open(Path(shutil.copytree(HERE / "old_run", "run")))


@pytest.mark.usefixtures("old_run")
def test_an_old_run_generates_the_same_guided_samples():
    ok("generate", "run", "--num-images", 4, "--guidance", 2, "--autoguidance", 2, "--out", "x.png", *CPU)
    with Image.open("x.png") as drawn, Image.open(HERE / "old_run_samples.png") as expected:
        difference = np.abs(np.asarray(drawn, np.int16) - np.asarray(expected, np.int16))
    assert difference.max() <= 2  # other processors round differently


def test_an_old_run_is_evaluated(old_run):
    ok("evaluate", "run", "--bits-per-dim", "--num-images", 3, "--num-terms", 2, *CPU)
    assert json.loads((old_run.path / "evaluation.json").read_text())


def test_an_old_run_is_resumed(old_run):
    before = old_run.load().network.state_dict()
    ok("train", "digits", "--out", "run", "--resume", "--steps", 42, *CPU)
    assert old_run.states()[0].stem == f"{42:010d}"
    rows = read_history(old_run.path / "history.csv")
    assert {40, 42} <= {row.step for row in rows if row.training_loss}  # a slow machine writes one more
    after = old_run.load().network.state_dict()
    assert not all(torch.equal(before[name], after[name]) for name in before)


def test_a_report_of_an_old_run_is_written(old_run):
    ok("report", "run")
    assert "digits" in (old_run.path / "report.html").read_text()


@pytest.mark.parametrize(("name", "sampler"), [("euler", "ddim"), ("second_order", "heun")])
def test_a_config_with_a_removed_sampler_opens_with_its_replacement(old_run, name, sampler):
    file = old_run.path / "config.json"
    values = json.loads(file.read_text())
    values["recipe"]["sampling"] |= {"sampler": name, "eta": 0.0}
    file.write_text(json.dumps(values))
    assert Run.open(old_run.path).config.recipe.sampling.sampler == sampler
    ok("generate", "run", "--num-images", 1, "--num-steps", 4, "--out", "x.png", *CPU)


def test_muon_of_an_old_run_goes_on_moving_all_wide_matrices(old_run):
    """Its state holds one number for each weight of a wide stem, but two for those that AdamW moves."""
    file = old_run.path / "config.json"
    assert "muon" not in json.loads(file.read_text())["recipe"]["optimizer"]
    assert old_run.config.recipe.optimizer.name == "muon"
    assert old_run.config.recipe.optimizer.muon == "wide"
    values = json.loads(old_run.config.to_json())
    assert values["recipe"]["optimizer"]["muon"] == "wide"


def test_an_old_state_of_muon_is_not_mixed_with_that_of_other_weights(old_run, capsys):
    """Of a stem of 64 channels the old state holds a momentum, for which AdamW has no use."""
    file = old_run.path / "config.json"
    values = json.loads(file.read_text())
    values["recipe"]["optimizer"]["muon"] = "hidden"
    file.write_text(json.dumps(values))
    said = refused(capsys, "train", "digits", "--out", "run", "--resume", "--steps", 42, *CPU)
    assert "holds the state of another optimiser than that of config.json" in said
