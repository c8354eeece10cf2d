"""The noise shift of a run: chosen, kept in config.json, and used in training and sampling alike."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from helpers.runs import digits, start
from unnoise.cli import run as unnoise
from unnoise.data import load
from unnoise.diffusion.schedules import DiscreteSchedule, log_snr, noise_shift_of, shifted
from unnoise.runs.checkpoint import Run
from unnoise.runs.config import RunConfig
from unnoise.runs.plan import TrainOptions, plan
from unnoise.runs.presets import OWN_PRESETS, PRESETS, recipe
from unnoise.runs.resume import resume_config
from unnoise.utils.errors import UnnoiseError

TIMES = torch.linspace(0.1, 0.9, 9).view(-1, 1, 1, 1)


def test_by_default_pictures_of_up_to_32_pixels_are_not_shifted():
    config = plan(digits(), TrainOptions())
    assert config.recipe.noise_shift == 1
    assert config.schedule is config.recipe.schedule
    assert config.build().noise_levels is config.recipe.noise_levels


@pytest.mark.parametrize("name", [*OWN_PRESETS, "transformer"])
def test_our_presets_shift_larger_pictures_by_their_size(name):
    shifts = [recipe(name, 3, *size).noise_shift for size in ((8, 8), (32, 32), (24, 40), (64, 64), (256, 64))]
    assert shifts == [1, 1, 1, 2, 4]


@pytest.mark.parametrize(("preset", "shift"), [("nano", 4), ("keras-ddim", 1)])
def test_a_run_that_starts_from_one_of_smaller_pictures_takes_what_its_preset_does_for_its_size(
    tmp_path, preset, shift
):
    run = Run.create(tmp_path / "run", plan(digits(), TrainOptions(preset=preset)))
    larger = load("digits", size=(128, 128))
    for changes, wanted in ((), shift), (("noise_shift=3",), 3):
        config = plan(larger, TrainOptions(init=str(run.path), changes=changes))
        assert config.recipe.network == run.config.recipe.network
        assert config.recipe.noise_shift == wanted
        assert config.recipe.guided_sampling == recipe(preset, 1, 128, 128).guided_sampling
    chosen = replace(run.config, recipe=replace(run.config.recipe, noise_shift=1.5))
    run.with_config(chosen)
    for images in (larger, digits()):  # chosen by hand, so it stays
        assert plan(images, TrainOptions(init=str(run.path))).recipe.noise_shift == 1.5


def test_published_presets_are_never_shifted():
    others = set(PRESETS) - {*OWN_PRESETS, "transformer"}
    assert {recipe(name, 3, 256, 256).noise_shift for name in others} == {1}


def test_old_configurations_are_read_without_a_shift():
    config = plan(digits(), TrainOptions())
    old = json.loads(config.to_json())
    del old["recipe"]["noise_shift"]
    assert RunConfig.from_json(json.dumps(old), Path("config.json")) == config


def test_the_shift_by_size_is_chosen_kept_and_the_same_on_resuming():
    config = plan(digits(), TrainOptions(noise_shift="size"))
    assert config.recipe.noise_shift == 8 / 32
    assert RunConfig.from_json(config.to_json(), Path("config.json")) == config
    for again in (None, "size", 0.25):
        assert resume_config(config, TrainOptions(noise_shift=again)) == config
    with pytest.raises(UnnoiseError, match=r"started with noise shift 0\.25, but got 2"):
        resume_config(config, TrainOptions(noise_shift=2.0))
    assert plan(digits(), TrainOptions(changes=("noise_shift=2",))).recipe.noise_shift == 2
    with pytest.raises(UnnoiseError, match="The noise shift is from"):
        plan(digits(), TrainOptions(noise_shift=0.0))


@pytest.mark.parametrize("preset", ["default", "keras-ddim", "clear-ddim", "annotated-ddpm", "ddpm-study"])
def test_training_and_sampling_use_one_shifted_schedule(tmp_path, preset):
    config = plan(digits(), TrainOptions(preset=preset, noise_shift=2.0))
    diffusion, denoiser = config.build(), config.denoiser()
    assert diffusion.schedule == diffusion.ema.schedule == denoiser.schedule == config.schedule
    assert noise_shift_of(denoiser.schedule) == 2
    discrete = isinstance(config.recipe.schedule, DiscreteSchedule)
    assert isinstance(denoiser.schedule, DiscreteSchedule) == discrete
    moved = log_snr(*denoiser.schedule(TIMES)) - log_snr(*config.recipe.schedule(TIMES))
    torch.testing.assert_close(moved, torch.full_like(moved, -2 * math.log(2)), atol=1e-4, rtol=0)
    drawn, plain = (
        one.noise_levels.draw(64, one.schedule, torch.Generator().manual_seed(1))
        for one in (diffusion, plan(digits(), TrainOptions(preset=preset)).build())
    )
    moved = log_snr(drawn.noise_rates, drawn.signal_rates) - log_snr(plain.noise_rates, plain.signal_rates)
    torch.testing.assert_close(moved, torch.full_like(moved, -2 * math.log(2)), atol=1e-3, rtol=0)


def test_a_shifted_run_samples_as_its_denoiser_would_on_the_shifted_schedule(tmp_path):
    run = start(tmp_path / "run", recipe_changes=["noise_shift=4"])
    denoiser, sampling = run.config.denoiser(), run.config.recipe.sampling
    own = sampling.grid(denoiser.schedule)
    wanted = sampling.grid(shifted(run.config.recipe.schedule, 4.0))
    assert all(torch.equal(left, right) for left, right in zip(own, wanted, strict=True))
    assert denoiser.generate(1, sampling=sampling).shape == (1, 1, 8, 8)


def test_the_command_takes_a_number_or_size(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    np.save("pictures.npy", np.zeros((4, 64, 16), dtype=np.uint8))
    dry = ["train", "pictures.npy", "--out", "r", "--device", "cpu", "--dry-run", "--noise-shift"]
    for text, value in (("2", 2.0), ("size", 1.0)):
        assert unnoise([*dry, text]) == 0
        assert json.loads(capsys.readouterr().out)["recipe"]["noise_shift"] == value
    for text in ("large", "0", "nan"):
        assert unnoise([*dry, text]) == 2
        assert "oise" in capsys.readouterr().err
