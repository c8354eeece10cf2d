"""DINOv2 extractor against transformers, from a local folder."""

import pytest
import torch
from safetensors.torch import load_file, save_file

from helpers.feature_pictures import random_images
from unnoise.evaluation.features.dinov2 import dinov2_extractor
from unnoise.evaluation.features.preprocessing import imagenet_preparation
from unnoise.utils.errors import UnnoiseError


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A tiny network with random weights."""
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = transformers.Dinov2Config(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, image_size=28, patch_size=14
    )
    path = tmp_path_factory.mktemp("dinov2") / "tiny"
    transformers.Dinov2Model(config).save_pretrained(path)
    return path


@pytest.fixture(autouse=True)
def _offline(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


def test_dinov2_features_equal_the_cls_token_of_transformers(folder, capsys):
    transformers = pytest.importorskip("transformers")
    extractor = dinov2_extractor(weights=folder, side=28)
    pictures = random_images(3, 20, 30).take(range(3))
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("", "")
    network = transformers.Dinov2Model.from_pretrained(folder).eval()
    with torch.no_grad():
        expected = network(pixel_values=imagenet_preparation(28)(pictures)).pooler_output
    assert torch.allclose(extractor(pictures), expected, atol=1e-5)
    assert (extractor.name, extractor.side, extractor.comparable) == ("dinov2:tiny", 28, True)


def test_side_is_rounded_to_a_multiple_of_the_patch(folder):
    assert [dinov2_extractor(weights=folder, side=side).side for side in (None, 1, 20, 22, 64)] == [
        224,
        14,
        14,
        28,
        70,
    ]
    assert dinov2_extractor(weights=folder, side=28).digest != dinov2_extractor(weights=folder, side=42).digest
    with pytest.raises(UnnoiseError, match="at most 4096 pixels, but got 9999"):
        dinov2_extractor(weights=folder, side=9999)


def test_a_folder_without_safetensors_weights_is_refused(folder, tmp_path):
    with pytest.raises(UnnoiseError, match=r"Cannot load DINOv2 from the folder.*--weights FOLDER"):
        dinov2_extractor(weights=tmp_path)
    (tmp_path / "config.json").write_text((folder / "config.json").read_text())
    (tmp_path / "pytorch_model.bin").write_bytes(b"a pickle")
    with pytest.raises(UnnoiseError, match="Cannot load DINOv2"):
        dinov2_extractor(weights=tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"junk")
    with pytest.raises(UnnoiseError, match="Cannot load DINOv2"):
        dinov2_extractor(weights=tmp_path)


def test_incomplete_weights_are_refused(folder, tmp_path):
    """Or the rest would be random."""
    tensors = load_file(folder / "model.safetensors")
    tensors.pop("embeddings.cls_token")
    save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
    (tmp_path / "config.json").write_text((folder / "config.json").read_text())
    with pytest.raises(UnnoiseError, match=r"incomplete \(embeddings.cls_token is missing\)"):
        dinov2_extractor(weights=tmp_path)


def test_without_transformers_the_message_names_the_package(folder, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "transformers", None)
    with pytest.raises(UnnoiseError, match=r"needs transformers.*unnoise\[dinov2\]"):
        dinov2_extractor(weights=folder)
