"""config.json: complete, strict, and refused in one sentence."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from unnoise.data import ImageSet
from unnoise.data.batches import split
from unnoise.diffusion.noise_levels import UniformPower
from unnoise.diffusion.normalizer import Normalizer
from unnoise.diffusion.schedules import LinearBeta, SignalStep
from unnoise.runs.config import Budget, RunConfig
from unnoise.runs.data_config import DataConfig
from unnoise.runs.plan import TrainOptions, plan
from unnoise.runs.presets import PRESETS, recipe
from unnoise.runs.sizing import num_levels
from unnoise.utils.errors import UnnoiseError

WHERE = Path("RUN/config.json")


def config(preset: str = "default", channels: int = 1) -> RunConfig:
    return RunConfig(
        preset=preset,
        data=DataConfig(source="digits", height=8, width=12, channels=channels),
        normalizer=Normalizer((0.5,) * channels, (0.25,) * channels),
        recipe=recipe(preset, channels, 8, 12),
    )


@pytest.mark.parametrize("preset", PRESETS)
def test_a_config_is_read_as_it_was_written(preset):
    assert RunConfig.from_json(config(preset).to_json(), WHERE) == config(preset)


def test_unions_are_told_apart_by_their_kind():
    data = json.loads(config("clear-ddim").to_json())["recipe"]
    assert data["schedule"] == {"kind": "SignalStep", "start_log_snr": 3.0, "end_log_snr": -10.0}
    again = RunConfig.from_json(config("clear-ddim").to_json(), WHERE).recipe
    assert again.schedule == SignalStep(3.0, -10.0)
    assert again.noise_levels == UniformPower()


def change(path: str, value: object, *, remove: bool = False) -> str:
    data = json.loads(config().to_json())
    *parents, key = path.split(".")
    inner = data
    for parent in parents:
        inner = inner[parent]
    if remove:
        del inner[key]
    else:
        inner[key] = value
    return json.dumps(data)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (change("surprise", 1), "unknown key surprise"),
        (change("recipe.network.surprise", 1), "is not valid at recipe.network: unknown key surprise"),
        (change("format", 2), "has format 2, but this unnoise reads formats up to 1. Upgrade"),
        (change("format", "1"), "its format is '1', not a number"),
        (change("format", None, remove=True), "its format is None, not a number"),
        (change("data.height", -5), "at least 1 row, column and channel"),
        (change("data.channels", 3), "The pictures have 3 channels, but the network 1"),
        (change("recipe.optimizer.betas", [0.9, 1.0]), "betas are from 0 to below 1"),
        (change("recipe.network.max_frequency", 0), "max_frequency must be above 1"),
        (change("seed", "seven"), "is not valid at seed: expected int, got 'seven'"),
        (change("seed", True), "expected int, got True"),
        (change("budget.amount", "long"), "expected a number, got 'long'"),
        (change("budget.amount", -1), "lasts for more than 0 minutes, but got -1"),
        (change("data.height", None, remove=True), "missing or unknown 'height'"),
        (change("recipe.schedule.kind", "Zigzag"), "missing or unknown 'Zigzag'"),
        (change("recipe.schedule.min_signal_rate", 2.0), "OffsetCosine needs"),
        (change("recipe.network.widths", [8, "x"]), "expected int, got 'x'"),
        (change("recipe.network.normalization", "layer"), "layer"),
        (change("recipe.batch_size", 0), "batch size is at least 1"),
        (change("recipe.clusters", -1), "There are 0 to 1024 clusters, but got -1"),
        (change("recipe.clusters", 100_000), "There are 0 to 1024 clusters, but got 100,000"),
        (change("normalizer.std", [0.0]), "above 0"),
        (change("recipe", []), "is not valid at recipe: "),
        ("[1, 2]", "holds a list instead of settings"),
        ("{", "is not valid JSON"),
        ("", "is not valid JSON"),
    ],
)
def test_a_bad_config_is_one_sentence_that_names_the_file(text, sentence):
    with pytest.raises(UnnoiseError) as caught:
        RunConfig.from_json(text, WHERE)
    assert sentence in str(caught.value)
    assert str(caught.value).startswith(str(WHERE))
    assert "\n" not in str(caught.value)


def test_the_seed_decides_the_first_weights_and_nothing_else_does():
    torch.manual_seed(1)
    first = config().build()
    torch.manual_seed(2)
    state = torch.random.get_rng_state()
    second = config().build()
    assert torch.equal(torch.random.get_rng_state(), state)
    for a, b in zip(first.network.parameters(), second.network.parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize(
    ("budget", "expected"),
    [
        (Budget(unit="steps", amount=10), 0.5),
        (Budget(unit="images", amount=100), 3.2),
        (Budget(unit="minutes", amount=2), 0.25),
    ],
)
def test_a_budget_counts_steps_images_or_minutes(budget, expected):
    assert budget.spent(5, 320, 30.0) == pytest.approx(expected)


@pytest.mark.parametrize("amount", [0, -3, float("nan"), float("inf")])
def test_a_budget_of_nothing_is_refused(amount):
    with pytest.raises(UnnoiseError, match="more than 0 steps, but got"):
        Budget(unit="steps", amount=float(amount))


@pytest.mark.row("U7", "T5", "T6", "S1", "M1")
def test_the_keras_preset_is_the_published_recipe():
    book = recipe("keras-ddim", 3, 64, 64)
    built = RunConfig(
        data=DataConfig(source="x", height=64, width=64, channels=3),
        normalizer=Normalizer.imagenet(),
        recipe=book,
    ).build()
    assert sum(p.numel() for p in built.network.parameters()) == 1_950_627
    assert (book.schedule.min_signal_rate, book.schedule.max_signal_rate) == (0.02, 0.95)
    assert (book.objective.predicts, book.objective.compares, book.objective.loss) == ("noise", "noise", "l1")
    assert (book.optimizer.name, book.optimizer.learning_rate, book.optimizer.weight_decay) == (
        "adamw",
        1e-3,
        1e-4,
    )
    assert (book.ema.decay, book.ema.warmup, book.batch_size, book.condition) == (0.999, None, 64, "variance")


@pytest.mark.row("C2", "S7", "U10")
def test_the_clear_ddim_preset_has_the_defaults_of_its_code():
    clear = recipe("clear-ddim", 3, 64, 64)
    assert clear.schedule == SignalStep(3.0, -10.0)
    assert (clear.objective.predicts, clear.objective.compares, clear.objective.loss) == (
        "velocity",
        "velocity",
        "l2",
    )
    assert (clear.optimizer.learning_rate, clear.optimizer.weight_decay, clear.ema.decay) == (
        2e-4,
        1e-4,
        0.999,
    )
    assert clear.network.widths == (64, 128, 256, 512)


@pytest.mark.row("H21", "H5")
@pytest.mark.parametrize(
    ("preset", "study", "num_timesteps"),
    [("annotated-ddpm", "convnext", 200), ("annotated-resnet", "resnet", 300)],
)
def test_the_annotated_presets_are_the_published_recipes(preset, study, num_timesteps):
    published = recipe(preset, 1, 28, 28)
    network, optimizer, objective = published.network, published.optimizer, published.objective
    assert (network.study, network.dim, network.multipliers) == (study, 28, (1, 2, 4))
    assert published.schedule == LinearBeta(num_timesteps)
    assert (objective.predicts, objective.compares, objective.loss) == ("noise", "noise", "huber")
    assert (optimizer.name, optimizer.learning_rate, optimizer.max_gradient_norm) == ("adam", 1e-3, None)
    assert (published.batch_size, published.ema.decay, published.condition) == (128, 0.0, "timestep")
    assert (published.sampling.sampler, published.sampling.num_steps) == ("ancestral", num_timesteps)


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize(("height", "width"), [(1, 1), (8, 8), (24, 40), (64, 64), (200, 100), (2112, 4096)])
def test_every_preset_builds_for_every_size(preset, height, width):
    assert recipe(preset, 3, height, width).network.channels == 3


def test_the_lowest_level_has_at_most_eight_positions():
    assert [num_levels(side, side, patch) for side, patch in [(8, 1), (16, 2), (28, 2), (64, 2), (256, 4)]] == [
        2,
        2,
        2,
        3,
        4,
    ]


def test_an_unknown_preset_is_refused_with_the_known_ones():
    with pytest.raises(UnnoiseError, match="default, nano, small, medium, large, keras-ddim, clear-ddim"):
        recipe("best", 3, 64, 64)


def test_the_split_is_that_of_training_and_holds_out_all_of_other_pictures():
    pixels = np.arange(100, dtype=np.uint8).reshape(100, 1, 1, 1).repeat(8, 1).repeat(8, 2)
    own, other = ImageSet(pixels, "own", "f"), ImageSet(pixels, "other", "g")
    config = plan(own, TrainOptions(held_out=20, seed=3))
    training, held_out = split(100, 20, 3)
    assert [part.tolist() for part in config.split(own)] == [training.tolist(), held_out.tolist()]
    assert [part.tolist() for part in config.split(other)] == [[], list(range(100))]
