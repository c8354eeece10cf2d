"""Preprocessing, network extractors, digests, and the lite0 extractor."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from helpers.feature_pictures import means_extractor, random_images
from unnoise.evaluation.features import Extractor, features_of
from unnoise.evaluation.features.extractor import NetworkExtractor, digest_of
from unnoise.evaluation.features.lite0 import lite0_extractor
from unnoise.evaluation.features.preprocessing import (
    imagenet_preparation,
    resized,
    square_preparation,
    to_colour,
)
from unnoise.utils.errors import UnnoiseError


def test_grey_is_repeated_and_transparent_pictures_are_put_on_white():
    grey = torch.tensor([0, 51, 255], dtype=torch.uint8).view(3, 1, 1, 1)
    assert torch.equal(to_colour(grey), grey.float().repeat(1, 3, 1, 1))
    opaque, half, clear = 255, 51, 0  # 51 / 255 is a fifth
    alpha = torch.tensor([opaque, half, clear], dtype=torch.uint8).view(3, 1, 1, 1)
    hundred = torch.full_like(alpha, 100)
    shown = to_colour(torch.cat((hundred, alpha), 1))
    assert shown[:, 0, 0, 0].tolist() == pytest.approx([100, 0.2 * 100 + 0.8 * 255, 255])
    in_colour = to_colour(torch.cat((hundred, grey, 2 * hundred, alpha), 1))
    assert in_colour[1, :, 0, 0].tolist() == pytest.approx([224, 0.2 * 51 + 0.8 * 255, 244])
    with pytest.raises(UnnoiseError, match=r"1 to 4 channels .* but these have 5"):
        to_colour(torch.zeros(1, 5, 2, 2, dtype=torch.uint8))


def test_shrinking_does_not_alias():
    board = torch.zeros(1, 1, 64, 64)
    board[..., ::2, ::2] = board[..., 1::2, 1::2] = 255  # no picture of 16 x 16 but grey holds its frequencies
    assert (resized(board, 16, 16)[..., 1:-1, 1:-1] - 127.5).abs().max() < 3
    assert torch.equal(resized(board, 64, 64), board)


def test_resizing_equals_pillows_bilinear():
    values = np.random.default_rng(0).integers(0, 256, (40, 24), dtype=np.uint8)
    for size in ((16, 16), (64, 64), (9, 50)):
        expected = np.asarray(Image.fromarray(values).resize(size, Image.Resampling.BILINEAR), np.float32)
        got = resized(torch.from_numpy(values)[None, None].float(), size[1], size[0])[0, 0].numpy()
        assert np.abs(got - expected).max() <= 1  # Pillow rounds after either direction


def test_lite0_and_imagenet_scales_equal_the_published_ones():
    pictures = torch.tensor([0, 127, 255], dtype=torch.uint8).view(3, 1, 1, 1)
    lite = square_preparation(1, (127.0,) * 3, (128.0,) * 3, "")(pictures)
    assert torch.equal(lite[:, 2].flatten(), torch.tensor([-127 / 128, 0.0, 1.0]))
    imagenet_values = imagenet_preparation(1)(pictures)[2].flatten()
    expected = [(1 - 0.485) / 0.229, (1 - 0.456) / 0.224, (1 - 0.406) / 0.225]
    assert imagenet_values.tolist() == pytest.approx(expected, rel=1e-6)
    assert imagenet_preparation(96).words.startswith("bilinear, antialiased, to 96 x 96")
    with pytest.raises(UnnoiseError, match="from 1 to 4096 pixels, but got 0"):
        imagenet_preparation(0)


class Normed(nn.Module):
    """Depends on the whole batch, and remembers it, unless it is in eval mode."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm2d(3)
        self.norm.running_mean.fill_(100.0)
        self.norm.running_var.fill_(25.0)

    def forward(self, images):
        return self.norm(images).mean((2, 3), keepdim=True)


def test_a_network_in_training_mode_is_set_to_eval_mode():
    network = Normed().train()
    extractor = means_extractor(backbone=network)
    pictures = random_images(6).take(range(6))
    together = extractor(pictures)
    network.train()
    alone = torch.cat([extractor(one[None]) for one in pictures])
    expected = (pictures.float().mean((2, 3)) - 100) / 25.001**0.5
    assert torch.allclose(together, expected, atol=1e-3)
    assert torch.allclose(together, alone, atol=1e-5)
    assert network.norm.running_mean.tolist() == [100, 100, 100]
    assert not together.requires_grad
    together.add_(1)  # not a tensor of inference mode


@pytest.mark.parametrize("wrong", ["map", "dictionary", "joined"])
def test_outputs_that_are_not_one_vector_per_picture_are_refused(wrong):
    answers = {"map": lambda x: x, "dictionary": lambda x: {"x": x}, "joined": lambda x: x.mean((2, 3))[:1]}
    extractor = means_extractor(backbone=answers[wrong])
    with pytest.raises(UnnoiseError, match=r"one vector per picture.*means returns"):
        extractor(random_images(4).take(range(4)))


def test_features_do_not_depend_on_the_batch_size():
    images, seen = random_images(11), []
    indices = np.array([3, 0, 10, 4, 5])
    features = features_of(means_extractor(), images, indices, batch_size=2, progress=seen.append)
    assert torch.allclose(features, images.take(indices).float().mean((2, 3)))
    assert seen == [2, 2, 1]
    with pytest.raises(UnnoiseError, match="at least 1 picture"):
        features_of(means_extractor(), images, np.array([], np.int64))


def test_digest_depends_on_weights_settings_and_files(tmp_path):
    torch.manual_seed(0)
    network = nn.Linear(2, 2)
    first = digest_of("a", network, 64)
    assert digest_of("a", network, 64) == first
    assert digest_of("a", network, 65) != first
    assert digest_of("b", network, 64) != first
    with torch.no_grad():
        network.bias[0] += 1e-6
    assert digest_of("a", network, 64) != first
    path = tmp_path / "file"
    path.write_bytes(b"1")
    one = digest_of(path)
    path.write_bytes(b"2")
    assert digest_of(path) != one


@pytest.fixture(scope="module")
def small_lite0():
    return lite0_extractor(side=64)


def test_lite0_tells_squares_from_stripes(small_lite0):
    """1,280 features of ImageNet's weights, which random weights do not imitate: a square is no stripes."""
    assert isinstance(small_lite0, Extractor)
    assert (small_lite0.name, small_lite0.side, small_lite0.comparable) == ("lite0", 64, True)
    assert "64 x 64" in small_lite0.resize
    pictures = torch.zeros(5, 1, 32, 32, dtype=torch.uint8)
    pictures[0, :, 8:24, 8:24] = pictures[1, :, 9:25, 8:24] = 255
    pictures[2, :, ::4] = pictures[2, :, 1::4] = pictures[3, :, 1::4] = pictures[3, :, 2::4] = 255
    features = small_lite0(pictures)
    assert features.shape == (5, 1280)
    assert features.isfinite().all()
    assert float(features.min()) >= 0  # after ReLU6
    assert float(features.max()) <= 6
    squares, stripes = (torch.dist(features[i], features[i + 1]) for i in (0, 2))
    assert min(torch.dist(features[i], features[j]) for i in (0, 1) for j in (2, 3)) > 2 * max(squares, stripes)


def test_lite0_features_equal_the_input_of_its_classifier(small_lite0):
    """The same through the package's own classifier: pooling, then its last layer."""
    classifier = small_lite0.backbone.classifier
    (last_layer,) = (module for module in classifier.modules() if isinstance(module, nn.Linear))
    pictures = random_images(2, 64, 64).take(range(2))
    with torch.no_grad():
        expected = classifier((pictures.float() - 127) / 128)
        ours = last_layer(small_lite0(pictures))
    assert torch.allclose(ours, expected, atol=1e-4)


def test_digest_of_lite0_depends_on_its_side(small_lite0):
    assert lite0_extractor(side=64).digest == small_lite0.digest
    assert lite0_extractor(side=112).digest != small_lite0.digest


def test_features_are_the_same_in_pieces_where_memory_runs_out():
    sizes = []

    def backbone(images: torch.Tensor) -> torch.Tensor:
        sizes.append(len(images))
        if len(images) > 3:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return images.mean((2, 3))

    extractor = NetworkExtractor("x", 4, "as it is", "0", True, lambda pixels: pixels / 255, backbone)
    pixels = torch.randint(0, 256, (10, 3, 4, 4), dtype=torch.uint8)
    with pytest.warns(UserWarning, match="too small for 10 pictures at once: from now on the network takes 2"):
        found = extractor(pixels)
    torch.testing.assert_close(found, (pixels / 255).mean((2, 3)))
    assert sizes == [10, 5, *[2] * 5]
