"""Features and learned extractors are cached under keys that nothing else shares."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from helpers.feature_pictures import images_of, means_extractor, random_images
from unnoise.evaluation.features import cached_features, features_of
from unnoise.evaluation.features.feature_cache import feature_key
from unnoise.evaluation.features.lite0 import lite0_extractor

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


def test_cache_entries_are_safetensors_of_features(images, tmp_path):
    cached_features(Counting(), images, SOME, cache=tmp_path)
    data = entry(tmp_path).read_bytes()
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    assert header["features"]["dtype"] == "F32"
    assert header["features"]["shape"] == [3, 3]
