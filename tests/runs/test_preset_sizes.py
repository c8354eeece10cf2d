"""Every preset at every usual size: built, planned, its memory and disk forecast; ours train at 64 and 128.

All of them take all of these sizes: the published networks pad what they cannot halve.
"""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from unnoise.data import load
from unnoise.diffusion.diffusion import Diffusion
from unnoise.runs import footprint
from unnoise.runs.config import Budget, RunConfig
from unnoise.runs.footprint import memory_bytes, network_size, pieces_that_fit, run_disk_use
from unnoise.runs.plan import TrainOptions, plan
from unnoise.runs.presets import OWN_PRESETS, PRESETS, preset_for, recipe
from unnoise.runs.sizing import PRESET_LIMITS
from unnoise.runs.snapshots import FEWEST_STEPS
from unnoise.utils.precision import DeviceCapabilities

SHAPES = ((16, 16), (24, 40), (32, 32), (64, 64), (128, 128), (256, 256))
CASES = [(3 if height == width else 4, height, width) for height, width in SHAPES]
"""Channels, height and width: a picture of other channels differs in the first and last layer alone."""


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """An array of a few colour pictures of each shape, which needs no cache."""
    folder, sets = tmp_path_factory.mktemp("arrays"), {}
    for height, width in SHAPES:
        path = folder / f"{height}-{width}.npy"
        np.save(path, np.random.default_rng(0).integers(0, 256, (4, height, width, 3), dtype=np.uint8))
        sets[height, width] = load(path, layout="NHWC", size=(height, width))
    return sets


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_built_and_forecast_at_every_size(name):
    previous = 0
    for channels, height, width in CASES:
        chosen = recipe(name, channels, height, width)
        size, disk = network_size(chosen.network, height, width), run_disk_use(chosen, judged=True)
        weights, ema = 4 * size.parameters, chosen.ema
        assert size.gigaflops > 0
        assert 2 * weights < disk.weights < 2.1 * weights
        assert 4 * weights < disk.states
        stored = disk.averages / (len(ema.profiles) * weights) if ema.profiles else math.inf
        assert stored >= min(ema.snapshots, FEWEST_STEPS)
        memory = memory_bytes(chosen, height, width)
        assert memory > footprint.PROCESS_BYTES + 2 * weights + chosen.batch_size * size.activation_bytes
        assert memory_bytes(chosen, height, width, 1) <= memory
        if channels == 3 and height == width:
            assert size.activation_bytes > previous  # larger pictures take more
            previous = size.activation_bytes


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_planned_at_every_size(pictures, name):
    for (height, width), images in pictures.items():
        assert plan(images, TrainOptions(preset=name)).recipe == recipe(name, 3, height, width)


@pytest.mark.parametrize(
    ("name", "side"), [*((name, 128) for name in OWN_PRESETS), *((name, 64) for name in OWN_PRESETS[:2])]
)
def test_our_presets_take_a_step_on_larger_pictures(pictures, name, side):
    config = plan(pictures[side, side], TrainOptions(preset=name, batch_size=2, noise_shift="size"))
    diffusion: Diffusion = config.build()
    before = diffusion.network.head.bias.detach().clone()
    result = diffusion.train_step(torch.rand(2, 3, side, side))
    assert result.loss.isfinite()
    assert result.gradient_norm.isfinite()
    assert not torch.equal(diffusion.network.head.bias.detach(), before)
    assert config.recipe.noise_shift == side / 32


# --- the automatic choice ------------------------------------------------------------------------------------


@pytest.mark.parametrize("gigabytes", [1.5, 8, 64])
def test_the_automatic_choice_fits_into_memory_at_every_size_and_budget(monkeypatch, gigabytes):
    monkeypatch.setattr(footprint, "total_memory", lambda: int(gigabytes * 1e9))
    for (height, width), (_, limit) in itertools.product(SHAPES, PRESET_LIMITS):
        pixels = max(height * width, 16**2)
        budget = Budget(unit="minutes", amount=min(limit, 1e7) * 0.99 * pixels / 32**2)
        name = preset_for("cpu", (3, height, width), budget).name
        chosen = recipe(name, 3, height, width)
        pieces = pieces_that_fit(chosen, height, width)
        assert pieces is not None
        needed = memory_bytes(chosen, height, width, -(-chosen.batch_size // pieces))
        assert needed <= 0.8 * gigabytes * 1e9


def test_a_choice_that_does_not_fit_says_which_one_does(monkeypatch):
    budget = Budget(unit="steps", amount=1e9)
    assert preset_for("cpu", (3, 256, 256), budget).name == "large"
    monkeypatch.setattr(footprint, "total_memory", lambda: int(2e9))
    choice = preset_for("cpu", (3, 256, 256), budget)
    assert choice.name == "small"
    assert choice.why.endswith(
        "and large is for 4 days or more, but small is the largest that fits into this machine's memory."
    )
    assert preset_for("cuda", (3, 256, 256), budget).name == "large"


# --- batches that are cut ------------------------------------------------------------------------------------


def test_batches_are_cut_into_as_few_pieces_as_memory_needs(monkeypatch):
    chosen = recipe("small", 3, 64, 64)
    whole = memory_bytes(chosen, 64, 64)
    for share, pieces in ((1.01, 1), (0.99, 2), (0.51, 4)):
        monkeypatch.setattr(footprint, "total_memory", lambda share=share: int(share * whole / 0.8))
        assert pieces_that_fit(chosen, 64, 64) == pieces
    monkeypatch.setattr(footprint, "total_memory", lambda: 1000)
    assert pieces_that_fit(chosen, 64, 64) is None
    with pytest.warns(UserWarning, match="more memory than this machine has, even with one picture at a time"):
        plan(load("digits"), TrainOptions(preset="nano"))
    monkeypatch.setattr(footprint, "total_memory", lambda: None)
    assert pieces_that_fit(chosen, 64, 64) == 1


def test_a_plan_cuts_batches_unless_it_is_told_how(pictures, monkeypatch):
    images = pictures[64, 64]
    assert plan(images, TrainOptions(preset="nano")).accumulate == 1
    chosen = recipe("nano", 3, 64, 64)
    quarter = memory_bytes(chosen, 64, 64, chosen.batch_size // 4)
    monkeypatch.setattr(footprint, "total_memory", lambda: int(1.01 * quarter / 0.8))
    config: RunConfig = plan(images, TrainOptions(preset="nano"))
    assert config.accumulate == 4
    assert plan(images, TrainOptions(preset="nano", accumulate=2)).accumulate == 2
    gpu = DeviceCapabilities(type="cuda", bfloat16=True)
    assert plan(images, TrainOptions(preset="nano"), gpu).accumulate == 1


@pytest.mark.parametrize(("accumulate", "batch_size"), [(None, 64), (2, 64), (None, 8)])
def test_no_more_pictures_are_drawn_at_once_than_fit(pictures, monkeypatch, accumulate, batch_size):
    """However a run trains: previews and measurements are of 64, and a system kills what takes more."""
    config = plan(pictures[64, 64], TrainOptions(preset="nano", accumulate=accumulate, batch_size=batch_size))
    sixteen = memory_bytes(recipe("nano", 3, 64, 64), 64, 64, 16)
    assert config.denoiser().pieces.size is None
    cases = ((None, 1.01, 16), (4, 1.01, 4), (None, 0.99, 8), (None, 1e-6, 1), (None, 99, None))
    for found, share, size in cases:
        monkeypatch.setattr(footprint, "total_memory", lambda share=share: int(share * sixteen / 0.8))
        limited = replace(config, pictures_at_once=found)
        made = limited.build()
        assert limited.denoiser().pieces.size == size
        assert made.denoiser.pieces.size == made.ema.pieces.size == size
    assert replace(config, pictures_at_once=4).denoiser("meta").pieces.size == 4  # as in config.json elsewhere
    assert config.denoiser("meta").pieces.size is None


def test_usual_runs_start_without_a_forecast(monkeypatch):
    """The generous bound on their memory is enough: nothing has to be counted."""
    monkeypatch.setattr(footprint, "total_memory", lambda: int(16e9))
    monkeypatch.setattr(footprint, "memory_bytes", lambda *_: pytest.fail("counted"))
    for name in ("nano", "small", "medium"):
        assert pieces_that_fit(recipe(name, 3, 32, 32), 32, 32) == 1


def test_the_bound_of_usual_runs_is_above_their_forecast(monkeypatch):
    cases = [*itertools.product(PRESETS, [(16, 16), (256, 256)]), ("nano", (512, 64)), ("nano", (1024, 1024))]
    for name, size in cases:
        chosen = recipe(name, 3, *size)
        memory = memory_bytes(chosen, *size)
        monkeypatch.setattr(footprint, "total_memory", lambda memory=memory: int(memory / 0.8) - 1)
        assert pieces_that_fit(chosen, *size) != 1


def test_the_memory_of_networks_without_images_is_their_state():
    """Weights, average, two profiles and Muon's momentum; then gradients and what is made of them."""
    chosen = recipe("nano", 3, 64, 64)
    weights = 4 * network_size(chosen.network, 64, 64).parameters
    least = memory_bytes(chosen, 64, 64, 0) - footprint.PROCESS_BYTES
    assert 7.9 * weights < least < 8.2 * weights
