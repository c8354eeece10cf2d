"""Copy detection finds copies, and nothing else, at any scale of vectors."""

import numpy as np
import pytest
import torch

from unnoise.data import load
from unnoise.evaluation.metrics import detect_copies
from unnoise.utils.errors import UnnoiseError


def drawn(*counts, dimensions=16):
    """Different draws of one distribution: a few directions carry most of it, as in pictures."""
    spread = torch.linspace(2, 0.3, dimensions, dtype=torch.float64)
    return [torch.randn(count, dimensions, dtype=torch.float64) * spread for count in counts]


def copies_of(training, count, noise=0.02):
    chosen = torch.randint(len(training), (count,))
    return training[chosen] + noise * torch.randn(count, training.shape[1], dtype=torch.float64), chosen


def test_independent_samples_are_not_copies():
    samples, training, held_out = drawn(300, 400, 200)
    found = detect_copies(samples, training, held_out)
    assert found.copied.value <= 0.01
    assert found.copied.low == 0
    assert found.index.low < 0.5 < found.index.high
    assert found.from_held_out
    assert found.references.shape == (200,)
    assert found.ratios.median().item() == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("held", [100, 5, 0])
def test_training_pictures_with_little_noise_are_copies(held):
    training, held_out = drawn(200, held)
    samples, chosen = copies_of(training, 100)
    found = detect_copies(samples, training, held_out)
    assert found.copied == pytest.approx((1, 1 / (1 + 1.96**2 / 100), 1), rel=1e-4)
    assert found.index.value == 1
    assert found.index.low > 0.9
    assert found.nearest.tolist() == chosen.tolist()
    assert found.from_held_out is (held == 100)
    assert bool(found.held_out.isinf().all()) is (held == 0)


def test_share_of_copies_is_within_its_interval():
    samples, training, held_out = drawn(140, 400, 200)
    samples = torch.cat([copies_of(training, 60)[0], samples])
    found = detect_copies(samples, training, held_out)
    assert found.copied.low < 0.3 < found.copied.high
    assert found.copied.value == pytest.approx(0.3, abs=0.01)
    assert found.copies[:60].all()
    assert found.index.value == pytest.approx(0.3 + 0.7 / 2, abs=0.05)
    assert found.index.low > 0.5


def test_with_few_held_out_pictures_training_pictures_are_the_unseen_ones():
    samples, training, held_out = drawn(100, 50, 5)
    found = detect_copies(samples, training, held_out)
    assert not found.from_held_out
    others = torch.cdist(training, training).fill_diagonal_(torch.inf).min(1).values
    torch.testing.assert_close(found.references.sort().values, others.sort().values)
    assert found.copied.value <= 0.02
    indices = [detect_copies(*drawn(100, 50, 5)).index for _ in range(40)]
    assert sum(index.low < 0.5 < index.high for index in indices) >= 34
    assert np.mean([index.value for index in indices]) == pytest.approx(0.5, abs=0.03)
    learned = detect_copies(copies_of(training, 100)[0], training, held_out)
    assert learned.copied.value == learned.index.value == 1


def test_distances_and_index_equal_their_definitions():
    samples, training, held_out = drawn(20, 60, 30)
    found = detect_copies(samples, training, held_out)
    table = torch.cdist(samples, training).sort(1)
    torch.testing.assert_close(found.distances, table.values[:, 0])
    torch.testing.assert_close(found.second, table.values[:, 1])
    assert found.nearest.tolist() == table.indices[:, 0].tolist()
    torch.testing.assert_close(found.held_out, torch.cdist(samples, held_out).min(1).values)
    unseen = torch.cdist(held_out, training).min(1).values
    torch.testing.assert_close(found.references, unseen)
    torch.testing.assert_close(found.ratios, found.distances / unseen.median())
    pairs = [(d < u) + (d == u) / 2 for d in found.distances.tolist() for u in unseen.tolist()]
    assert found.index.value == pytest.approx(np.mean(pairs))


@pytest.mark.parametrize("scale", [1e-4, 1e5])
def test_copies_do_not_depend_on_the_scale_of_vectors(scale):
    samples, training, held_out = drawn(80, 200, 100)
    samples = torch.cat([copies_of(training, 20)[0], samples])
    found = detect_copies(samples, training, held_out)
    scaled = detect_copies(scale * samples, scale * training, scale * held_out)
    assert scaled.copied == found.copied
    assert tuple(scaled.index) == pytest.approx(found.index)
    assert (scaled.copies == found.copies).all()
    torch.testing.assert_close(scaled.ratios, found.ratios)


@pytest.mark.parametrize("held", [100, 5])
def test_repeated_pictures_in_the_data_hide_no_copies(held):
    """Equal ones count once, and some that are nearly equal hide no copy."""
    samples, training, held_out = drawn(100, 150, held)
    near = training[:40] + 1e-3 * torch.randn(40, 16)
    repeated = torch.cat([training, training, near, training[:7]])
    fresh = detect_copies(samples, repeated, torch.cat([held_out, training[:3]]))
    assert fresh.copied.value <= 0.03
    assert int(fresh.nearest.max()) < 340
    assert not set(fresh.nearest.tolist()) & set(range(150, 300))  # the first of equal ones is named
    learned = detect_copies(copies_of(repeated, 100)[0], repeated, held_out)
    assert learned.copied.value == 1
    assert learned.second.min() > 0


def test_smooth_samples_are_not_copies():
    """Means of training pictures are nearer to them than real pictures are."""
    training, held_out = drawn(400, 200, dimensions=60)
    samples = torch.stack([training[torch.randint(400, (20,))].mean(0) for _ in range(100)])
    found = detect_copies(samples, training, held_out)
    assert found.ratios.max() < 1
    assert found.index.value > 0.9  # the index sees it,
    assert found.copied.value == 0  # but nothing is a copy


def test_samples_of_a_dense_class_are_not_copies():
    """Half of the data is 20 times as dense, so its samples are far nearer than the median."""
    halves = [torch.cat([x[::2] / 20, x[1::2] + 30]) for x in drawn(200, 400, 100)]
    assert detect_copies(*halves).copied.value <= 0.01
    samples = torch.cat([copies_of(halves[1][:200], 40, noise=0.001)[0], halves[0]])
    assert detect_copies(samples, *halves[1:]).copies[:40].all()


@pytest.mark.parametrize("count", [50, 1400])
def test_unseen_digits_are_not_copies_but_noisy_training_digits_are(count):
    """Unseen digits are no copies of the training ones; noisy training digits are."""
    digits = load("digits")
    order = torch.randperm(len(digits), generator=torch.Generator().manual_seed(1))
    pictures = digits.take(order.numpy()).flatten(1).double() / 255
    training, held_out, samples = pictures[:count], pictures[1400:1600], pictures[1600:]
    fresh = detect_copies(samples, training, held_out)
    assert fresh.copied.value <= 0.02
    assert fresh.index.low < 0.5 < fresh.index.high
    noisy = (training[:50] + 0.04 * torch.randn(50, 64)).clamp(0, 1)
    assert detect_copies(noisy, training, held_out).copied.value > 0.8


def test_no_samples_few_training_pictures_and_other_lengths_are_refused():
    samples, training, held_out = drawn(5, 9, 4)
    with pytest.raises(UnnoiseError, match="at least 1 sample, but got 0"):
        detect_copies(samples[:0], training, held_out)
    with pytest.raises(UnnoiseError, match="3 distinct training pictures, but got 2"):
        detect_copies(samples, training[[0, 0, 1, 1]], held_out)
    with pytest.raises(UnnoiseError, match="one length, but got 16 and 16 and 3"):
        detect_copies(samples, training, held_out[:, :3])
