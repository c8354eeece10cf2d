"""Settings of a run as a command that trains it again, and the differences between several."""

import json
import shlex
from dataclasses import replace

import pytest

from helpers.command_line import ok
from helpers.evaluated_runs import config
from unnoise.data import load
from unnoise.reports.settings import changed_settings, differences, shortened, train_command
from unnoise.runs.config import Budget
from unnoise.runs.plan import TrainOptions, plan

pytestmark = pytest.mark.usefixtures("own_folder")


def test_the_command_of_a_report_makes_the_same_config(capsys):
    options = {
        "preset": "keras-ddim",
        "size": (16, 16),
        "batch_size": 7,
        "seed": 4,
        "precision": "bfloat16",
        "fit": "pad",
        "background": (1, 2, 255),
        "flip": True,
        "until_converged": True,
        "deterministic": True,
        "held_out": 11,
        "budget": Budget(unit="images", amount=123456789.0),
    }
    changes = [
        "objective.loss=l2",
        "network.widths=[8, 16, 16, 16]",
        'schedule={"kind": "Cosine"}',
        "offset_noise=0.125",
    ]
    images = load("digits", size=(16, 16), fit="pad", background=(1, 2, 255))
    wanted = plan(images, TrainOptions(changes=tuple(changes), **options))
    assert {change.partition("=")[0] for change in changed_settings(wanted)} == {
        *("objective.loss", "network.widths", "schedule", "offset_noise")
    }
    words = shlex.split(train_command(wanted).replace("\\\n", " "))
    assert words[:3] == ["unnoise", "train", "digits"]
    capsys.readouterr()
    ok(*words[1:], "--dry-run")
    assert json.loads(capsys.readouterr().out) == json.loads(wanted.to_json())
    assert max(map(len, train_command(config()).splitlines())) < 50
    assert changed_settings(config()) == []
    unknown = replace(wanted, preset="of tomorrow")
    assert "--set" not in train_command(unknown)


def test_differences_hold_only_the_settings_that_differ():
    first, second = config(), config("objective.loss=huber", 'noise_levels={"kind": "UniformTimes"}', seed=3)
    unlike = differences([first, second, first])
    assert unlike["recipe.objective.loss"] == ["l2", "huber", "l2"]
    assert unlike["seed"] == ["0", "3", "0"]
    assert unlike["recipe.noise_levels.kind"] == ["LogNormal", "UniformTimes", "LogNormal"]
    assert unlike["recipe.noise_levels.std"][1] is None
    assert all(
        path.startswith(("recipe.noise_levels", "recipe.objective.loss", "seed", "normalizer"))
        for path in unlike
    )
    assert differences([first, first]) == {}
    assert shortened(["[0.30971280802279927, 300.0]", None, "ab" * 16]) == ["[0.309713, 300]", None, "abababab"]
    assert shortened(["0.12345678", "0.12345679"]) == ["0.12345678", "0.12345679"]
    assert shortened(["0.1.2", "v1"]) == ["0.1.2", "v1"]
