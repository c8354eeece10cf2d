"""Precision in which a run draws on a CPU: bfloat16 only where nobody sees the difference."""

import json
from itertools import count

import pytest
import torch

from helpers.runs import digits, start
from unnoise.runs import drawing_precision
from unnoise.runs.drawing_precision import VISIBLE, difference
from unnoise.trainer.loop import train


@pytest.fixture(autouse=True)
def _fast(monkeypatch):
    monkeypatch.setattr(drawing_precision, "bfloat16_is_fast", lambda: True)


@pytest.fixture
def trained(tmp_path, monkeypatch):
    """A run that has learned a little in bfloat16."""
    monkeypatch.setenv("UNNOISE_CACHE", str(tmp_path / "cache"))
    run = start(tmp_path / "run", steps=3, precision="bfloat16")
    for _ in train(run, digits()):
        pass
    return run


def refuse(*_):
    pytest.fail("measured again")


def test_the_difference_is_measured_once_for_each_file_of_weights(trained, monkeypatch):
    drawn = [trained.load().precision]
    kept = json.loads((trained.path / "drawing.json").read_text())
    ((found,),) = [each.values() for each in kept.values()]
    assert 0 < found < 1
    assert drawn == ["bfloat16" if found < VISIBLE else "float32"]
    with monkeypatch.context() as context:
        context.setattr(drawing_precision, "difference", refuse)
        assert trained.load().precision == drawn[0]
    weights = trained.path / "model.safetensors"
    weights.write_bytes(weights.read_bytes())
    monkeypatch.setattr(drawing_precision, "difference", lambda *_: 1.0)
    assert trained.load().precision == "float32"


def test_weights_that_draw_nothing_are_not_measured(trained, monkeypatch):
    """Exports, for example, want the weights alone."""
    monkeypatch.setattr(drawing_precision, "difference", refuse)
    assert trained.averaged().precision == "bfloat16"
    assert not (trained.path / "drawing.json").exists()


@pytest.mark.parametrize(("found", "wanted"), [(0.9 / 255, "bfloat16"), (1.1 / 255, "float32")])
def test_a_visible_difference_makes_it_draw_in_float32(trained, monkeypatch, found, wanted):
    monkeypatch.setattr(drawing_precision, "difference", lambda *_: found)
    assert trained.load().precision == wanted


def test_without_fast_bfloat16_it_draws_in_float32_unmeasured(trained, monkeypatch):
    monkeypatch.setattr(drawing_precision, "bfloat16_is_fast", lambda: False)
    assert trained.load().precision == "float32"
    assert not (trained.path / "drawing.json").exists()


@pytest.mark.parametrize("text", ["", "[]", '{"model.safetensors": 3}', '{"model.safetensors": {"1": "x"}}'])
def test_a_damaged_note_is_measured_again(trained, monkeypatch, text):
    (trained.path / "drawing.json").write_text(text)
    monkeypatch.setattr(drawing_precision, "difference", lambda *_: 0.0)
    assert trained.load().precision == "bfloat16"
    assert json.loads((trained.path / "drawing.json").read_text())["model.safetensors"]


def test_a_folder_that_cannot_be_written_to_still_draws(trained, monkeypatch):
    def full(*_):
        raise OSError("No space left on device")

    monkeypatch.setattr(drawing_precision, "atomic_write", full)
    assert trained.load().precision in ("bfloat16", "float32")


def test_the_difference_is_that_of_the_pictures(trained):
    denoiser, sampling = trained.config.denoiser(), trained.config.recipe.sampling
    found = difference(denoiser, sampling)
    assert denoiser.precision == "bfloat16"
    pictures = []
    for precision in ("bfloat16", "float32"):
        denoiser.precision = precision
        with torch.no_grad():
            drawn = [denoiser.generate(1, seed=seed, sampling=sampling) for seed in range(4)]
        pictures.append(torch.cat(drawn).clamp(0, 1))
    assert found == pytest.approx(float((pictures[0] - pictures[1]).abs().mean()))


def test_of_a_large_network_one_picture_is_enough(trained):
    """A clock on which each picture takes a minute."""
    denoiser, sampling = trained.config.denoiser(), trained.config.recipe.sampling
    minutes = count(0, 60)
    found = difference(denoiser, sampling, clock=lambda: next(minutes))
    assert 0 <= found < 1
    assert next(minutes) == 2 * 60  # asked at the start, and after the first picture
