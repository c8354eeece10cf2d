"""Precision and memory of a run: chosen by the device, written, told, and kept when it is resumed."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from helpers.command_line import ok, refused
from helpers.runs import digits, start
from unnoise.runs.plan import TrainOptions, plan
from unnoise.runs.resume import resume_config
from unnoise.utils import precision as precisions
from unnoise.utils.errors import UnnoiseError
from unnoise.utils.precision import DeviceCapabilities

AMPERE = DeviceCapabilities(type="cuda", bfloat16=True)
TURING = DeviceCapabilities(type="cuda")
CHANGES = ("network.widths=[8,16]", 'network.attention=["none","none"]', "sampling.num_steps=2")
TINY = ("--batch-size", 4, "--held-out", 0, "--set", *CHANGES)


@pytest.fixture(autouse=True)
def _own_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("UNNOISE_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


def written(run: str = "r") -> dict:
    return json.loads(Path(run, "config.json").read_text())


def test_the_plan_writes_the_default_of_the_device_unless_another_is_asked_for():
    assert plan(digits(), TrainOptions()).precision == "float32"
    for device, wanted in ((AMPERE, "bfloat16"), (TURING, "tf32")):
        assert plan(digits(), TrainOptions(), device).precision == wanted
        assert plan(digits(), TrainOptions(precision="float32"), device).precision == "float32"


def test_a_run_keeps_its_precision_on_whatever_device_it_goes_on():
    for precision in ("float32", "tf32", "bfloat16"):
        config = plan(digits(), TrainOptions(precision=precision))
        assert resume_config(config, TrainOptions()).precision == precision
        other = TrainOptions(precision="float32" if precision != "float32" else "bfloat16")
        with pytest.raises(UnnoiseError, match=f"was started with precision {precision}, but got"):
            resume_config(config, other)


def test_settings_of_memory_may_change_when_a_run_goes_on():
    config = replace(plan(digits(), TrainOptions(accumulate=2)), pictures_at_once=8)
    kept = resume_config(config, TrainOptions())
    changed = TrainOptions(accumulate=4, checkpoint_activations=True)
    assert (kept.accumulate, kept.pictures_at_once, kept.checkpoint_activations) == (2, 8, False)
    assert resume_config(config, changed).accumulate == 4
    assert resume_config(config, changed).checkpoint_activations


@pytest.mark.parametrize(("precision", "on_resume"), [("float32", False), ("bfloat16", True), ("tf32", True)])
def test_the_header_tells_the_precision_and_a_resumed_run_what_holds(capsys, monkeypatch, precision, on_resume):
    monkeypatch.setattr(precisions, "bfloat16_is_fast", lambda: False)
    options = ("train", "digits", "--out", "r", *TINY, "--device", "cpu")
    ok(*options, "--steps", 1, "--precision", precision)
    said = capsys.readouterr().err
    assert f" on cpu in {precision} for 1 step, into r." in said
    assert "keeps the precision" not in said
    assert written()["precision"] == precision
    ok(*options, "--steps", 2, "--resume")
    said = capsys.readouterr().err
    sentence = (
        f"The run keeps the precision that it was started with, {precision}; a new one would train in float32 "
        "on cpu."
    )
    assert (sentence in " ".join(said.split())) == on_resume
    slow = "For bfloat16 this processor takes up to 200 times as long as for float32. A new run may begin with"
    assert (slow in " ".join(said.split())) == (precision == "bfloat16")
    assert written()["precision"] == precision


def test_tf32_is_float32_on_a_cpu(tmp_path):
    losses = []
    for precision in ("float32", "tf32"):
        diffusion = start(tmp_path / precision, precision=precision).config.build()
        generator = torch.Generator().manual_seed(1)
        losses.append(diffusion.train_step(digits().take(range(8)), generator=generator).loss)
    assert torch.equal(*losses)


def test_a_config_of_before_has_float32_and_no_limits(tmp_path):
    run = start(tmp_path / "run")
    config = json.loads((run.path / "config.json").read_text())
    for name in ("precision", "pictures_at_once", "checkpoint_activations"):
        del config[name]
    read = type(run.config).from_json(json.dumps(config), run.path)
    assert (read.precision, read.pictures_at_once, read.checkpoint_activations) == ("float32", None, False)


def test_checkpointed_activations_learn_the_same_and_are_remembered(capsys):
    for name, more in (("r", ()), ("s", ("--checkpoint-activations",))):
        ok("train", "digits", "--out", name, *TINY, "--device", "cpu", "--steps", 2, *more)
    assert [written(name)["checkpoint_activations"] for name in "rs"] == [False, True]
    ok("train", "digits", "--out", "s", "--device", "cpu", "--steps", 3, "--resume")
    assert written("s")["checkpoint_activations"]
    histories = [Path(name, "history.csv").read_text().splitlines()[1].split(",")[4] for name in "rs"]
    assert float(histories[0]) == pytest.approx(float(histories[1]), rel=1e-5)


def test_to_compile_and_not_to_is_refused(capsys):
    sentence = refused(capsys, "train", "digits", "--out", "r", "--compile", "--no-compile")
    assert sentence == "unnoise: --compile and --no-compile contradict each other: keep one of them."
    assert not Path("r").exists()
