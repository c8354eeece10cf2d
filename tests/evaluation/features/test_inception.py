"""Inception extractor: published weights are recognised, downloaded once and never unpickled."""

import hashlib
import sys
import types

import numpy as np
import pytest
import torch
from torch import nn

from helpers.feature_pictures import random_images
from unnoise.evaluation.features import choose_extractor, inception
from unnoise.evaluation.features.inception import SHA256_PREFIX, URL
from unnoise.utils.errors import UnnoiseError


class FakeInception(nn.Module):
    """As torch-fidelity's: uint8 in, a tuple out, weights from a path, and in training mode until told."""

    def __init__(self, name, features_list, feature_extractor_weights_path=None):
        super().__init__()
        assert (name, features_list) == ("inception-v3-compat", ["2048"])
        print("loading")  # noqa: T201 (it may)
        self.linear = nn.Linear(3, 4)
        self.dropout = nn.Dropout(0.5)
        self.load_state_dict(torch.load(feature_extractor_weights_path, weights_only=False))

    def forward(self, pictures):
        assert pictures.dtype == torch.uint8
        assert pictures.shape[1] == 3
        return (self.dropout(self.linear(pictures.float().mean((2, 3)))),)


@pytest.fixture(autouse=True)
def package(monkeypatch):
    """torch-fidelity, as far as it is used."""
    parent = types.ModuleType("torch_fidelity")
    module = types.ModuleType("torch_fidelity.feature_extractor_inceptionv3")
    module.FeatureExtractorInceptionV3 = FakeInception
    parent.feature_extractor_inceptionv3 = module
    monkeypatch.setitem(sys.modules, "torch_fidelity", parent)
    monkeypatch.setitem(sys.modules, "torch_fidelity.feature_extractor_inceptionv3", module)


@pytest.fixture
def weights(tmp_path):
    torch.manual_seed(0)
    path = tmp_path / "weights.pth"
    torch.save(nn.Linear(3, 4).state_dict(prefix="linear."), path)
    return path


@pytest.fixture
def server(monkeypatch, weights):
    """Answers every address with the bytes of a file; counts how often it was asked."""
    asked = []

    class Answer:
        def __init__(self, content):
            self._left = content

        def __enter__(self):
            return self

        def __exit__(self, *_):
            return None

        def info(self):
            return types.SimpleNamespace(get_all=lambda _: None)

        def read(self, size):
            piece, self._left = self._left[:size], self._left[size:]
            return piece

    def urlopen(request, *_, **__):
        asked.append(request.full_url)
        return Answer(weights.read_bytes())

    monkeypatch.setattr(torch.hub, "urlopen", urlopen)
    return asked


def test_features_use_the_given_weights_in_eval_mode(weights, capsys):
    extractor = inception.inception_extractor(weights=weights)
    images = random_images(4, 6, 5, 1)
    linear = nn.Linear(3, 4)
    linear.load_state_dict({name.removeprefix("linear."): v for name, v in torch.load(weights).items()})
    pictures = images.take(range(4))
    with torch.no_grad():
        expected = linear(pictures.float().mean((2, 3)).expand(-1, 3))
    assert torch.allclose(extractor(pictures), expected, rtol=1e-5)  # no dropout: it is in eval mode
    assert (extractor.name, extractor.side) == ("inception", 299)
    assert not extractor.comparable  # its SHA-256 is not that of the standard weights
    assert "not antialiased" in extractor.resize
    assert capsys.readouterr().out == ""


def test_the_published_weights_are_recognised_by_their_hash(weights, monkeypatch):
    monkeypatch.setattr(inception, "SHA256_PREFIX", hashlib.sha256(weights.read_bytes()).hexdigest()[:8])
    assert inception.inception_extractor(weights=weights).comparable


def test_a_download_with_another_checksum_is_refused_and_not_kept(server, tmp_path):
    with pytest.raises(UnnoiseError, match=r"Cannot download .* invalid hash value.*--weights FILE"):
        inception.inception_extractor(cache=tmp_path / "cache")
    assert server == [URL]
    assert list((tmp_path / "cache" / "extractors").iterdir()) == []


def test_weights_are_downloaded_once(server, weights, tmp_path, monkeypatch):
    monkeypatch.setattr(inception, "SHA256_PREFIX", hashlib.sha256(weights.read_bytes()).hexdigest()[:8])
    first = inception.inception_extractor(cache=tmp_path / "cache")
    again = choose_extractor("inception", random_images(2), np.arange(2), cache=tmp_path / "cache")
    assert first.digest == again.digest == inception.inception_extractor(weights=weights).digest
    assert server == [URL]
    assert [path.name for path in (tmp_path / "cache" / "extractors").iterdir()] == [URL.rpartition("/")[2]]


def test_a_failed_download_is_reported_with_a_remedy(tmp_path):
    def refuse(url, path, prefix):
        assert (url, prefix) == (URL, SHA256_PREFIX)
        raise OSError("no route to host")

    with pytest.raises(UnnoiseError, match=r"no route to host. Name a file of them with --weights FILE"):
        inception.inception_extractor(cache=tmp_path, download=refuse)


def test_without_torch_fidelity_the_message_names_the_package(weights, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch_fidelity.feature_extractor_inceptionv3", None)
    monkeypatch.delattr(sys.modules["torch_fidelity"], "feature_extractor_inceptionv3")
    with pytest.raises(UnnoiseError, match=r"needs torch-fidelity and a torchvision.*unnoise\[fid\]"):
        inception.inception_extractor(weights=weights)


class Trap:
    """What unpickling would set off."""

    def __reduce__(self):
        return (pytest.fail, ("it was unpickled",))


def test_weights_that_hold_more_than_tensors_are_refused(tmp_path):
    torch.save({"linear.weight": Trap()}, tmp_path / "trap.pth")
    (tmp_path / "empty.pth").write_bytes(b"")
    for name in ("trap.pth", "empty.pth"):
        with pytest.raises(UnnoiseError, match="is damaged, or holds more than the weights"):
            inception.inception_extractor(weights=tmp_path / name)
    with pytest.raises(UnnoiseError, match="There is no file"):
        inception.inception_extractor(weights=tmp_path / "missing.pth")


def test_weights_of_another_network_are_refused(tmp_path):
    torch.save({"other": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(UnnoiseError, match="do not fit"):
        inception.inception_extractor(weights=tmp_path / "other.pth")
