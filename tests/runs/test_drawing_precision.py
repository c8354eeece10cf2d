"""Precision in which a run draws on a CPU: bfloat16 only where nobody sees the difference."""

import json
from dataclasses import replace
from itertools import count

import pytest
import torch

import unnoise as un
from helpers.runs import digits, start
from unnoise.runs import drawing_precision
from unnoise.runs.drawing_precision import VISIBLE, difference, exact
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
    denoiser, sampling = trained.averaged(), trained.config.recipe.sampling
    found = difference(denoiser, sampling, lambda: 0.0)
    assert denoiser.precision == "bfloat16"
    pictures = []
    for precision in ("bfloat16", "float32"):
        denoiser.precision = precision
        with torch.no_grad():
            drawn = [denoiser.generate(1, seed=seed, sampling=sampling) for seed in range(4)]
        pictures.append(torch.cat(drawn).clamp(0, 1))
    assert found == pytest.approx(float((pictures[0] - pictures[1]).abs().mean()))


@pytest.mark.parametrize("clusters", [False, True])
def test_the_difference_is_measured_on_pictures_of_several_classes(tmp_path, clusters):
    """Those of the seeds' clusters, or of the classes in turn, where it was told classes."""
    changes = ("network.num_classes=3", f"network.clusters={str(clusters).lower()}")
    run = start(tmp_path / "run", precision="bfloat16", recipe_changes=changes)
    denoiser, asked = run.config.denoiser(), []

    def generate(count, *, seed, sampling, classes):
        asked.append((seed, None if classes is None else classes.tolist()))
        return torch.zeros(count, 1, 8, 8)

    denoiser.generate = generate
    assert difference(denoiser, run.config.recipe.sampling) == 0
    wanted = [(seed, None if clusters else [seed % 3]) for seed in range(4)]
    assert asked[::2] == asked[1::2] == wanted


def test_another_way_to_draw_is_measured_anew(trained, monkeypatch):
    measured = []
    monkeypatch.setattr(drawing_precision, "difference", lambda _, sampling: measured.append(sampling) or 0.0)
    recipe = trained.config.recipe
    slower = replace(recipe, sampling=replace(recipe.sampling, num_steps=recipe.sampling.num_steps + 1))
    for one in (recipe, slower, recipe, slower):
        trained.load(sampling=one.sampling)
        trained.with_config(replace(trained.config, recipe=one)).load()
    assert measured == [recipe.sampling, slower.sampling]


def test_guidance_that_is_asked_for_is_measured_with_it(tmp_path, monkeypatch):
    """Guidance multiplies what rounding changes."""
    small = ("network.widths=[8,16]", "network.block_depth=1", 'network.attention=["none","none"]')
    run = un.train("digits", out=tmp_path / "run", steps=2, labels="auto", precision="bfloat16", set=[*small])
    measured = []
    monkeypatch.setattr(drawing_precision, "difference", lambda _, sampling: measured.append(sampling) or 0.0)
    un.open(run.path).generate(1, guidance=6.0, num_steps=3, lazy=True).tensor  # noqa: B018 (drawn by asking)
    assert [(one.guidance.scale, one.num_steps) for one in measured] == [(6.0, 3)]


def test_of_long_walks_some_steps_are_enough(trained):
    sampling = replace(trained.config.recipe.sampling, num_steps=300)
    few = replace(sampling, num_steps=30)
    denoiser, quick = trained.averaged(), lambda: 0.0
    assert difference(denoiser, sampling, quick) == difference(denoiser, few, quick) > 0


def test_numbers_are_computed_in_float32_whatever_the_run_learned_in(trained):
    learned = trained.averaged()
    assert (learned.precision, exact(learned).precision) == ("bfloat16", "float32")
    images, (noise, signal) = torch.randn(2, 1, 8, 8), learned.schedule(torch.full((2, 1, 1, 1), 0.5))
    found = [one.denoise(images, noise, signal).images for one in (learned, exact(learned))]
    learned.precision = "float32"
    with torch.no_grad():
        assert torch.equal(learned.denoise(images, noise, signal).images, found[1])
    assert not torch.equal(*found)


def test_of_a_large_network_one_picture_is_enough(trained):
    """A clock on which each picture takes a minute."""
    denoiser, sampling = trained.config.denoiser(), trained.config.recipe.sampling
    minutes = count(0, 60)
    found = difference(denoiser, sampling, clock=lambda: next(minutes))
    assert 0 <= found < 1
    assert next(minutes) == 2 * 60  # asked at the start, and after the first picture
