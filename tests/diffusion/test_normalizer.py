"""Normalizer: exact statistics, known constants, and the inverse."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from unnoise import Normalizer
from unnoise.utils.errors import UnnoiseError


def pictures(count=50, channels=3):
    values = torch.rand(count, channels, 6, 5, generator=torch.Generator().manual_seed(1))
    return values * torch.tensor([0.3, 0.6, 1.0])[:channels, None, None]


@pytest.mark.row("N1")
def test_fit_gives_the_population_mean_and_standard_deviation():
    images = pictures()
    fitted = Normalizer.fit(images)
    values = images.double().numpy()
    np.testing.assert_allclose(fitted.mean, values.mean((0, 2, 3)), rtol=1e-12)
    np.testing.assert_allclose(fitted.std, values.std((0, 2, 3)), rtol=1e-12)


@pytest.mark.row("N1")
@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 50), max_size=6))
def test_statistics_do_not_depend_on_the_batches(cuts):
    images = pictures()
    edges = [0, *sorted(cuts), 50]
    batches = (images[a:b] for a, b in itertools.pairwise(edges))
    streamed, at_once = Normalizer.fit(batches), Normalizer.fit(images)
    np.testing.assert_allclose(streamed.mean, at_once.mean, rtol=1e-12)
    np.testing.assert_allclose(streamed.std, at_once.std, rtol=1e-12)


@pytest.mark.row("N1")
def test_uint8_values_are_divided_by_255():
    images = (pictures() * 255).round().byte()
    fitted = Normalizer.fit(images)
    np.testing.assert_allclose(fitted.mean, (images.double() / 255).numpy().mean((0, 2, 3)), rtol=1e-12)
    torch.testing.assert_close(fitted.normalize(images), fitted.normalize(images.float() / 255))


@pytest.mark.row("N1")
def test_integer_sums_give_the_same_statistics():
    images = (pictures(200) * 255).round().byte()
    values = images.transpose(0, 1).flatten(1).to(torch.int64)
    exact = Normalizer.of_sums(values.shape[1], values.sum(1).tolist(), values.square().sum(1).tolist())
    np.testing.assert_allclose(exact.mean, Normalizer.fit(images).mean, rtol=1e-12)
    np.testing.assert_allclose(exact.std, Normalizer.fit(images).std, rtol=1e-12)
    assert Normalizer.of_sums(4, [0], [0]).std == (1 / 255,)


@pytest.mark.row("N2")
def test_range_of_imagenet_normalisation():
    ends = torch.stack([torch.zeros(3, 1, 1), torch.ones(3, 1, 1)])
    low, high = Normalizer.imagenet().normalize(ends)
    np.testing.assert_allclose(low.flatten(), [-2.1179, -2.0357, -1.8044], atol=1e-4)
    np.testing.assert_allclose(high.flatten(), [2.2489, 2.4286, 2.6400], atol=1e-4)


@pytest.mark.row("N3", "D6")
def test_symmetric_is_2_x_minus_1():
    images = torch.arange(256).view(256, 1, 1, 1) / 255
    normalized = Normalizer.symmetric().normalize(images)
    assert normalized.min() == -1
    assert normalized.max() == 1
    torch.testing.assert_close(normalized, images * 2 - 1, atol=1e-7, rtol=0)
    torch.testing.assert_close(Normalizer.symmetric().denormalize(normalized), images, atol=1e-7, rtol=0)


@pytest.mark.row("N4")
@pytest.mark.parametrize(
    "normalizer", [Normalizer.imagenet(), Normalizer.symmetric(3), Normalizer.fit(pictures())]
)
def test_denormalize_is_the_inverse_of_normalize_and_clips(normalizer):
    images = pictures()
    torch.testing.assert_close(normalizer.denormalize(normalizer.normalize(images)), images, atol=1e-6, rtol=0)
    far = normalizer.denormalize(torch.tensor([-1e3, 1e3]).view(2, 1, 1, 1).expand(2, 3, 4, 4))
    assert far.min() == 0
    assert far.max() == 1


@pytest.mark.row("N5", "X8", "D5")
def test_denormalize_accepts_stacked_and_joined_trajectories():
    normalizer = Normalizer.fit(pictures())
    stacked = torch.randn(4, 7, 3, 6, 5)  # (S, N, C, H, W)
    by_step = torch.stack([normalizer.denormalize(step) for step in stacked])
    assert torch.equal(normalizer.denormalize(stacked), by_step)
    joined = normalizer.denormalize(stacked.flatten(0, 1))  # (S * N, C, H, W)
    assert torch.equal(joined, by_step.flatten(0, 1))


@pytest.mark.row("N6")
def test_fitted_data_have_unit_variance():
    images = pictures(500)
    normalized = Normalizer.fit(images).normalize(images).double()
    assert normalized.mean((0, 2, 3)).abs().max() < 1e-5
    torch.testing.assert_close(
        normalized.var((0, 2, 3), correction=0), torch.ones(3).double(), atol=1e-5, rtol=0
    )


def test_a_constant_channel_stays_finite():
    images = torch.cat([pictures(channels=1), torch.ones(50, 1, 6, 5)], dim=1)
    normalizer = Normalizer.fit(images)
    assert (normalizer.normalize(images)[:, 1] == 0).all()
    torch.testing.assert_close(normalizer.denormalize(normalizer.normalize(images)), images, atol=1e-6, rtol=0)


def test_bad_statistics_and_shapes_raise():
    with pytest.raises(UnnoiseError, match="as many means as stds"):
        Normalizer((0.0, 0.0), (1.0,))
    with pytest.raises(UnnoiseError, match="above 0"):
        Normalizer((0.0,), (0.0,))
    with pytest.raises(UnnoiseError, match="at least one image"):
        Normalizer.fit([])
    with pytest.raises(UnnoiseError, match="has 3 channels, but the images have 2"):
        Normalizer.imagenet().normalize(torch.rand(1, 2, 4, 4))
