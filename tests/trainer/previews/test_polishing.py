"""Polish of the sheets of a run: found while it trains, kept in config.json, and used when it draws."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from PIL import Image

from helpers.runs import digits, start
from unnoise import pictures
from unnoise.diffusion.samplers.sampling import Sampling
from unnoise.evaluation.grain import contrasts_of, find_polish, polished_samples
from unnoise.reports.settings import changed_settings
from unnoise.runs.autoguidance import load_as_it_draws, own_sampling
from unnoise.runs.checkpoint import Run
from unnoise.runs.fine_tuning import recipe_for
from unnoise.runs.presets import recipe
from unnoise.trainer.loop import train
from unnoise.trainer.previews import SAMPLE_SEEDS, draw_samples
from unnoise.trainer.previews.log import PreviewLog
from unnoise.trainer.previews.sizes import last_preview_sizes

CHANGES = ["find_polish=true", "clusters=4", "network.num_classes=4", "network.clusters=true"]


def trained_with(path, last):
    """A run that has found its polish; its last sheet has the size at this place of all, the largest at -1."""
    run = start(path, steps=12, recipe_changes=CHANGES)
    sizes = last_preview_sizes(run.config.recipe.sampling)
    with pytest.MonkeyPatch.context() as patches:
        patches.setattr(PreviewLog, "last_size", lambda *_: sizes[last])
        for _ in train(run, digits()):
            pass
    return Run.open(run.path)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """One with the largest last sheet."""
    return trained_with(tmp_path_factory.mktemp("polish") / "run", -1)


def test_the_polish_does_not_depend_on_the_size_of_the_last_sheet(trained, tmp_path):
    """Which depends on the time that there was: equal seeds give equal pictures."""
    for place in (0, 2):
        assert trained_with(tmp_path / str(place), place).config == trained.config


def test_training_ends_with_the_polish_that_is_found_by_hand(trained):
    images, found = digits(), own_sampling(trained).polish
    assert found > 0
    assert trained.config.recipe.sampling.polish == found
    denoiser = load_as_it_draws(trained)
    sheet = draw_samples(denoiser, trained.config, range(24))
    classes = denoiser.abilities.classes_of_seeds(SAMPLE_SEEDS[:24])
    wanted = contrasts_of(images, trained.config.split(images).training)
    level, polished = find_polish(sheet, wanted, partial(polished_samples, denoiser, sheet, classes))
    assert level == found
    drawn = denoiser.generate(24, seed=SAMPLE_SEEDS.start, sampling=own_sampling(trained))
    assert (drawn - polished).abs().max() < 1e-4


def test_the_last_sheet_shows_what_the_run_draws(trained):
    denoiser = load_as_it_draws(trained)
    drawn = denoiser.generate(len(SAMPLE_SEEDS), seed=SAMPLE_SEEDS.start, sampling=own_sampling(trained))
    wanted = np.asarray(pictures.grid(drawn, columns=6)).astype(int)
    with Image.open(sorted(trained.samples.glob("*.png"))[-1]) as sheet:
        assert np.abs(np.asarray(sheet).astype(int) - wanted).max() <= 1


def test_a_polish_that_was_found_is_no_setting_of_the_command(trained):
    before = replace(trained.config, recipe=trained.config.recipe.with_polish(0.0))
    assert changed_settings(trained.config) == changed_settings(before)
    assert not any("polish=0" in setting for setting in changed_settings(trained.config))


def test_a_run_on_other_pictures_finds_its_own(trained):
    assert recipe_for(digits(), trained.config).sampling.polish == 0


def test_training_that_is_stopped_keeps_the_polish_of_its_last_sheet(tmp_path, monkeypatch):
    monkeypatch.setattr("unnoise.trainer.previews.polishing.SheetPolish.__call__", found_a_quarter)
    run = start(tmp_path / "run", steps=1000, recipe_changes=CHANGES)
    steps = train(run, digits())
    for step in steps:
        if step.held_out_loss is not None:
            break
    steps.close()
    assert Run.open(run.path).config.recipe.sampling.polish == 0.25


def found_a_quarter(self, images, size):
    self.level = 0.25
    return images


def test_a_polish_that_was_chosen_stays(tmp_path):
    assert not recipe("nano", 1, 8, 8).changed(["sampling.polish=0.3"]).find_polish
    run = start(tmp_path / "run", steps=4, recipe_changes=[*CHANGES[1:], "sampling.polish=0.3"])
    for _ in train(run, digits()):
        pass
    assert Run.open(run.path).config.recipe.sampling.polish == 0.3
    assert any("sampling.polish=0.3" in setting for setting in changed_settings(run.config))


def test_our_presets_find_it_and_published_ones_do_not():
    for name, found in {
        "nano": True,
        "small": True,
        "transformer": True,
        "keras-ddim": False,
        "diffusers": False,
    }.items():
        assert recipe(name, 3, 32, 32).find_polish == found
        assert recipe(name, 3, 32, 32).sampling.polish == 0
    nano = recipe("nano", 1, 64, 64).with_polish(0.2)
    assert (nano.sampling.polish, nano.guided_sampling.polish) == (0.2, 0.2)
    assert nano.with_polish(0.0) == recipe("nano", 1, 64, 64)
    assert recipe("keras-ddim", 1, 64, 64).with_polish(0.1).guided_sampling is None
    assert Sampling().polish == 0
