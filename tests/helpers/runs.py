"""Small runs on real digits, for tests."""

import subprocess
import time
from dataclasses import replace
from pathlib import Path

import pytest

from unnoise.data import load
from unnoise.diffusion.samplers.sampling import Sampling
from unnoise.networks.unet import UNetConfig
from unnoise.runs.checkpoint import Run
from unnoise.runs.config import Budget, RunConfig
from unnoise.runs.plan import TrainOptions, plan


def digits():
    return load("digits")


def start(
    path: Path, steps: int = 6, preset: str = "default", recipe_changes=(), network=None, **changes
) -> Run:
    """A run of a tiny network on the digits, not trained yet."""
    config = plan(
        digits(), TrainOptions(preset=preset, batch_size=16, budget=Budget(unit="steps", amount=float(steps)))
    )
    if network is None:
        small = {"widths": (8, 16), "block_depth": 1, "attention": (False, True)}
        network = replace(config.recipe.network, **small, num_classes=0, clusters=False)
        assert isinstance(network, UNetConfig)
    ema = replace(config.recipe.ema, profiles=())
    alone = {"autoguidance": 1.0, "guided_sampling": None, "find_polish": False}
    recipe = replace(config.recipe, network=network, sampling=Sampling(num_steps=3), ema=ema, **alone)
    recipe = recipe.changed(recipe_changes)
    return Run.create(path, replace(config, recipe=recipe, **changes))


def until_trained(process: subprocess.Popen[str], run: Path) -> None:
    """Waits until a process has trained: it logs before its first step, and keeps an average after some."""
    while not list((run / "ema").glob("*.safetensors")):
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.1)


def with_few_walks(config: RunConfig) -> RunConfig:
    """Blocks of walks that are replaced every other step, so that few are walked and all kinds are met."""
    learned = config.recipe.mean_velocity
    walking = replace(learned.walking, kept=3, pairs=2)
    return replace(config, recipe=replace(config.recipe, mean_velocity=replace(learned, walking=walking)))


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    """A cache of decoded pictures that ends with the test."""
    monkeypatch.setenv("UNNOISE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"
