"""Learned extractor: distances rise with changes of the pictures, and its parts equal their formulas."""

import functools
import math

import numpy as np
import pytest
import torch
from torch.nn import functional

from helpers.feature_pictures import images_of, random_images
from unnoise.evaluation.features import LearnedConfig, features_of, learned_extractor, train_feature_network
from unnoise.evaluation.features.contrastive import Views, contrastive_loss
from unnoise.evaluation.features.learned import FeatureNetwork, input_size, preparation
from unnoise.evaluation.metrics import kernel_distance
from unnoise.utils.errors import UnnoiseError


def trained(images, indices, seed=0, **settings):
    *_, last = train_feature_network(images, indices, LearnedConfig(**settings), seed=seed)
    return learned_extractor(last.network, preparation(images, indices))


@functools.cache
def digits():
    """8 x 8 digits, their classes, and two random halves of them."""
    datasets = pytest.importorskip("sklearn.datasets")
    known = datasets.load_digits()
    order = np.random.default_rng(0).permutation(len(known.images))
    pixels = np.rint(known.images * (255 / 16)).astype(np.uint8)[..., None]
    return images_of(pixels), known.target, np.sort(order[:1000]), np.sort(order[1000:])


@functools.cache
def digit_extractor():
    images, _, training, _ = digits()
    return trained(images, training, num_steps=60)


@functools.cache
def features(half):
    images, _, *halves = digits()
    return features_of(digit_extractor(), images, halves[half])


def changed(change):
    """The features of the second half, each picture changed: from 0 to 1, (N, 1, 8, 8)."""
    images, _, _, second = digits()
    pictures = change(images.take(second).float() / 255).clamp(0, 1)
    return digit_extractor()((255 * pictures).round().to(torch.uint8))


def distances(changes):
    return [float(kernel_distance(features(0), changed(change))) for change in changes]


def test_distance_of_two_halves_of_the_digits_is_small():
    within, among = float(kernel_distance(features(0), features(1))), kernel_distance(features(0), features(0))
    assert abs(within) < 0.02
    assert float(among) < 0  # the same pictures: below what independent draws would give
    _, classes, _, second = digits()
    assert float(kernel_distance(features(0), features(1)[torch.from_numpy(classes[second] != 0)])) > 2 * within


def blurred(share):
    return lambda x: torch.lerp(
        x, functional.avg_pool2d(functional.pad(x, (1,) * 4, mode="replicate"), 3, 1), share
    )


def noisy(deviation):
    return lambda x: x + deviation * torch.randn(x.shape, generator=torch.Generator().manual_seed(1))


CHANGES = {
    "blur": [blurred(share) for share in (0.25, 0.5, 0.75, 1.0)],
    "noise": [noisy(deviation) for deviation in (0.1, 0.2, 0.4)],
    "contrast": [lambda x, gain=gain: gain * x for gain in (0.9, 0.7, 0.5, 0.3)],
}


@pytest.mark.parametrize("name", CHANGES)
def test_distance_rises_with_blur_noise_and_loss_of_contrast(name):
    found = distances([lambda x: x, *CHANGES[name]])
    assert found == sorted(found)
    assert found[1] > found[0] + 0.01
    assert found[-1] > 10 * found[1] or name == "blur"


def test_distance_rises_with_each_missing_class():
    _, classes, _, second = digits()
    left = [features(1)[torch.from_numpy(classes[second] >= first)] for first in (0, 1, 2, 4)]
    found = [float(kernel_distance(features(0), some)) for some in left]
    assert found == sorted(found)
    assert found[1] > found[0] + 0.01


def test_nearest_neighbours_have_the_same_class():
    """Though no class was ever told: 0.1 would be chance."""
    _, classes, first, second = digits()
    nearest = torch.cdist(features(1), features(0)).argmin(1).numpy()
    assert (classes[first][nearest] == classes[second]).mean() > 0.95


def test_features_of_training_pictures_are_standardised():
    assert torch.allclose(features(0).mean(0), torch.zeros(96), atol=1e-3)
    assert torch.allclose(features(0).std(0), torch.ones(96), atol=1e-3)
    assert not digit_extractor().comparable
    assert digit_extractor().resize.startswith("to 8 x 8 (bilinear, antialiased), from -1 to 1; not comparable")


def test_the_same_seed_trains_the_same_network():
    images, indices = random_images(20), np.arange(20)
    before = torch.get_rng_state()
    one, again = (trained(images, indices, num_steps=3) for _ in range(2))
    other = trained(images, indices, num_steps=3, seed=1)
    assert one.digest == again.digest != other.digest
    pictures = images.take(indices)
    assert torch.equal(one(pictures), again(pictures))
    assert torch.equal(torch.get_rng_state(), before)  # PyTorch's own random numbers were not touched


@pytest.mark.parametrize(
    ("count", "height", "width", "channels"),
    [
        (20, 8, 8, 1),
        (20, 24, 40, 3),
        (20, 16, 16, 4),
        (20, 9, 8, 2),
        (2, 8, 8, 1),
        (5, 1, 1, 3),
        (6, 96, 72, 3),
    ],
)
def test_any_size_number_and_channels_of_pictures_can_be_learned(count, height, width, channels):
    images = random_images(count, height, width, channels)
    states = list(train_feature_network(images, np.arange(count), LearnedConfig(num_steps=2)))
    assert [state.step for state in states] == [1, 2]
    assert all(math.isfinite(state.loss) for state in states)
    extractor = learned_extractor(states[-1].network, preparation(images, np.arange(count)))
    vectors = extractor(images.take(range(count)))
    assert vectors.shape == (count, 96)
    assert torch.allclose(vectors.mean(0), torch.zeros(96), atol=1e-3)
    assert extractor.side == min(64, max(height, width))


def test_large_pictures_are_shrunk_with_their_aspect_ratio():
    assert [input_size(*size) for size in ((8, 8), (24, 40), (64, 64), (128, 96), (10, 1000))] == [
        (8, 8),
        (24, 40),
        (64, 64),
        (64, 48),
        (1, 64),
    ]


def test_features_of_equal_pictures_are_0():
    images = images_of(np.full((8, 8, 8, 1), 77, np.uint8))
    vectors = trained(images, np.arange(8), num_steps=2)(images.take(range(8)))
    assert torch.allclose(vectors, torch.zeros(8, 96), atol=1e-3)


def test_a_single_picture_is_refused():
    with pytest.raises(UnnoiseError, match=r"needs at least 2 pictures to train on.*but got 1"):
        next(train_feature_network(random_images(1), np.arange(1)))


@pytest.mark.parametrize("settings", [{"num_steps": 0}, {"widths": ()}, {"learning_rate": -1.0}])
def test_settings_of_0_or_less_are_refused(settings):
    with pytest.raises(UnnoiseError, match="above 0, but got"):
        LearnedConfig(**settings)


def test_contrastive_loss_equals_its_formula():
    """By the formula, one view at a time."""
    generator = torch.Generator().manual_seed(0)
    left, right = (torch.randn(5, 3, generator=generator) for _ in range(2))
    views = [vector / vector.norm() for vector in (*left, *right)]
    expected = 0.0
    for i, view in enumerate(views):
        others = [math.exp(float(view @ views[k]) / 0.2) for k in range(10) if k != i]
        expected -= math.log(math.exp(float(view @ views[(i + 5) % 10]) / 0.2) / sum(others)) / 10
    assert float(contrastive_loss(left, right)) == pytest.approx(expected, rel=1e-5)


def test_views_without_changes_equal_the_pictures():
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(4, 3, 6, 10, generator=generator) * 2 - 1
    still = Views(shift=0, zoom=0, degrees=0, brightness=0, contrast=0, noise=0)
    assert torch.allclose(still(images, generator), images, atol=1e-5)
    # Values stay in their range when the picture is only moved, and another draw is another view.
    moved = Views(brightness=0, contrast=0, noise=0)
    one, other = (moved(images, generator) for _ in range(2))
    assert float(one.abs().max()) <= float(images.abs().max()) + 1e-5
    assert not torch.allclose(one, other, atol=0.1)


def test_rotation_preserves_lengths_of_pictures_that_are_not_square():
    """A line through the middle, 40 x 20, turned by up to 30 degrees: its length stays, in pixels."""
    images = torch.full((200, 1, 20, 40), -1.0)
    images[..., 9:11, 14:26] = 1
    turned = Views(shift=0, zoom=0, degrees=30, brightness=0, contrast=0, noise=0)
    found = (turned(images, torch.Generator().manual_seed(0)) + 1) / 2
    ys, xs = torch.meshgrid(torch.arange(20) - 9.5, torch.arange(40) - 19.5, indexing="ij")
    spread = ((xs**2 + ys**2) * found).sum((1, 2, 3)) / found.sum((1, 2, 3))
    still = (((xs**2 + ys**2) * images[:1].add(1)).sum() / images[:1].add(1).sum()).item()
    assert float((spread / still - 1).abs().max()) < 0.1


def test_strides_depend_on_the_size_of_pictures():
    def strides(side):
        return [stage.stride[0] for stage in FeatureNetwork((4, 4, 4, 4), side).stages[::3]]

    assert strides(8) == [1, 2, 1]
    assert strides(16) == [1, 2, 2]
    assert strides(28) == [2, 2, 2, 1]
    assert strides(64) == [2, 2, 2, 2]
