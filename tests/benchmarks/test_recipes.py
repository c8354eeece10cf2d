"""The recipes of the search can be trained, each as it says, and the second set of pictures is whole."""

import argparse

import numpy as np
import pytest
import torch

from benchmarks import emoji, recipes
from benchmarks.recipe_list import RECIPES, SAMPLINGS, START, TOGETHER
from unnoise.data import load
from unnoise.runs.config import Budget

BUDGET = Budget(unit="images", amount=128)


@pytest.fixture(scope="module")
def digits():
    return load("digits", labels=True)


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """Pictures of Fashion-MNIST's size, for which `nano` has other widths than for digits."""
    path = tmp_path_factory.mktemp("pictures") / "large.npy"
    np.save(path, np.random.default_rng(0).integers(0, 256, (50, 28, 28), np.uint8))
    return load(path)


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_is_where_the_search_began_with_its_changes(large, name):
    config = recipes.config_of(name, large, BUDGET, 3)
    assert config.preset == "nano"
    assert config.seed == 3
    assert config.data.flip == ("flip" in RECIPES[name])
    start = recipes.config_of("start", large, BUDGET, 3)
    assert start.recipe == start.recipe.changed(START)
    changes = [change for change in RECIPES[name] if change != "flip"]
    assert config.recipe == start.recipe.changed(changes)
    assert name == "start" or config != start, "a recipe of this name changes nothing"


def test_what_helped_is_part_of_all_that_is_tried_with_it():
    together = {name: changes for name, changes in RECIPES.items() if name.startswith("together-")}
    assert together
    assert all(changes[: len(TOGETHER)] == TOGETHER for changes in together.values())


def test_each_average_and_sampler_of_a_run_is_judged(digits):
    class Judge:
        def features(self, pictures):
            return pictures.flatten(1).mean(1)

        def distances(self, features):
            return {"frechet": float(features.mean()), "kid": float(len(features))}

    config = recipes.config_of("depth-1", digits, BUDGET, 0)
    asked = argparse.Namespace(device="cpu", samples=2, samplings=["2m-20", "2m-sde-20"])
    found = list(recipes.rows("depth-1", config, digits, Judge(), asked))
    assert [(row.average, row.sampler) for row in found] == [
        (average, name) for average in recipes.AVERAGES for name in asked.samplings
    ]
    assert {row.calls for row in found} == {SAMPLINGS[name].num_steps for name in asked.samplings}
    assert {row.kid for row in found} == {2.0}
    assert len({row.frechet for row in found}) == len(found), "averages and samplers draw different pictures"
    assert torch.isfinite(torch.tensor([row.loss for row in found])).all()


def test_emoji_have_a_category_in_each_skin():
    waves = {"category": "People", "image": "1.png", "skin_variations": {"1F3FB": {"image": "1-a.png"}}}
    found = list(emoji.pictures([waves, {"category": "Flags", "image": "2.png"}]))
    assert found == [("People", "1.png"), ("People", "1-a.png"), ("Flags", "2.png")]
