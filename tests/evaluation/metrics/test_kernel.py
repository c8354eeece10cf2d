"""Kernel distance and its interval against closed forms, sums over pairs and torchmetrics."""

import itertools
import warnings

import numpy as np
import pytest
import torch

from unnoise.evaluation.metrics import kernel_distance, kernel_interval
from unnoise.utils.errors import UnnoiseError

LEFT = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
RIGHT = torch.tensor([[1.0, 1.0], [0.0, 0.0], [2.0, 0.0]])


@pytest.mark.row("K1")
def test_kernel_distance_of_two_small_sets_equals_values_computed_by_hand():
    assert kernel_distance(LEFT, RIGHT).item() == pytest.approx(-65 / 36, abs=1e-12)  # -1.8055556
    assert kernel_distance(LEFT, LEFT).item() == pytest.approx(-14 / 9, abs=1e-12)  # -1.5555556
    assert kernel_distance(LEFT, RIGHT).dtype == torch.float64


@pytest.mark.row("K1")
def test_kernel_distance_equals_the_sum_over_pairs():
    left, right = torch.randn(5, 7), 0.5 + torch.randn(4, 7)

    def kernel(x, y):
        return (sum(float(a) * float(b) for a, b in zip(x, y, strict=True)) / 7 + 1) ** 3

    def among(vectors):
        pairs = list(itertools.permutations(range(len(vectors)), 2))
        return sum(kernel(vectors[i], vectors[j]) for i, j in pairs) / len(pairs)

    across = sum(kernel(x, y) for x in left for y in right) / 20
    found = kernel_distance(left, right)
    assert found.item() == pytest.approx(among(left) + among(right) - 2 * across, rel=1e-9)
    torch.testing.assert_close(kernel_distance(right, left[[3, 0, 4, 2, 1]]), found)


@pytest.mark.row("K1")
@pytest.mark.parametrize(
    ("values", "others", "exact"),
    [((0.0, 1.0), (0.0, 2.0), 3 * 0.5**2 + 3 * 1.5**2 + 3.5**2), ((0.0, 1.0), (0.0, 1.0), 0.0)],
)
def test_kernel_distance_is_unbiased(values, others, exact):
    """In one dimension k = 1 + 3 xy + 3 (xy)^2 + (xy)^3: MMD^2 weighs the gaps of three moments by 3, 3, 1."""
    found = [
        kernel_distance(torch.tensor(x).view(2, 1), torch.tensor(y).view(2, 1)).item()
        for x in itertools.product(values, repeat=2)
        for y in itertools.product(others, repeat=2)
    ]
    assert sum(found) / len(found) == pytest.approx(exact, abs=1e-12)
    assert min(found) < 0


def test_a_set_of_one_picture_is_refused():
    with pytest.raises(UnnoiseError, match="at least 2 pictures in each set, but got 3 and 1"):
        kernel_distance(LEFT, RIGHT[:1])


@pytest.mark.row("K1")
def test_kernel_distance_equals_torchmetrics_and_numpy():
    features, others = 2 * torch.rand(60, 9).double(), torch.rand(60, 9).double() + 0.3
    found = kernel_distance(features, others).item()

    from torchmetrics.image.kid import KernelInceptionDistance

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it says that it keeps all features
        metric = KernelInceptionDistance(feature=torch.nn.Identity(), subsets=1, subset_size=60)
    metric.update(features, real=True)
    metric.update(others, real=False)
    assert found == pytest.approx(metric.compute()[0].item(), abs=1e-6, rel=1e-6)

    x, y = features.numpy(), others.numpy()
    left, right, across = ((a @ b.T / 9 + 1) ** 3 for a, b in ((x, x), (y, y), (x, y)))
    off = ~np.eye(60, dtype=bool)
    assert found == pytest.approx(left[off].mean() + right[off].mean() - 2 * across.mean(), rel=1e-10)


def test_kernel_distance_of_many_vectors_equals_the_sum_over_pairs():
    left, right = torch.randn(2100, 3), torch.randn(2050, 3) + 0.2
    x, y = left.double(), right.double()
    own, others, across = ((a @ b.T / 3 + 1) ** 3 for a, b in ((x, x), (y, y), (x, y)))
    expected = (
        (own.sum() - own.trace()) / (2100 * 2099)
        + (others.sum() - others.trace()) / (2050 * 2049)
        - 2 * across.mean()
    )
    torch.testing.assert_close(kernel_distance(left, right), expected, rtol=1e-9, atol=1e-12)


def test_interval_is_between_quantiles_of_resampled_distances():
    """With few pictures each draw can be written out: its vectors, in all pairs of different pictures."""
    left, right = torch.randn(5, 3).double(), torch.randn(4, 3).double()
    found = kernel_interval(left, right, resamples=100, seed=3)
    generator, draws = torch.Generator().manual_seed(3), []
    chosen, other_chosen = (torch.randint(n, (100, n), generator=generator) for n in (5, 4))
    pool = torch.cat([left, right])
    table = (pool @ pool.T / 3 + 1) ** 3
    means = table.mean(0)
    table = table - means - means[:, None] + means.mean()
    for mine, theirs in zip(chosen.tolist(), other_chosen.tolist(), strict=True):
        theirs = [5 + place for place in theirs]
        own = sum(table[i, j].item() for i in mine for j in mine if i != j) / 4**2
        others = sum(table[i, j].item() for i in theirs for j in theirs if i != j) / 3**2
        draws.append(own + others - 2 * sum(table[i, j].item() for i in mine for j in theirs) / 20)
    low, high = np.quantile(draws, [0.025, 0.975])
    value = kernel_distance(left, right).item()
    assert tuple(found) == pytest.approx((value, min(low, value), max(high, value)), rel=1e-9)


def test_interval_depends_on_the_seed_but_not_on_the_order_of_the_sets():
    left, right = torch.randn(80, 6), torch.randn(70, 6) + 0.4
    first = kernel_interval(left, right)
    assert first == kernel_interval(left, right)
    assert first != kernel_interval(left, right, seed=1)
    turned = tuple(kernel_interval(right, left))
    assert turned == pytest.approx(tuple(first), abs=0.15 * (first.high - first.low))
    assert first.low < first.value == kernel_distance(left, right).item() < first.high


@pytest.mark.parametrize(
    ("left", "right", "settings", "message"),
    [
        (LEFT, RIGHT[:, :1], {}, "features of one length, but got 2 and 1"),
        (LEFT, RIGHT / 0, {}, "finite features, but 3 pictures"),
        (LEFT, RIGHT[:1], {}, "at least 2 pictures in each set, but got 3 and 1"),
        (LEFT, RIGHT, {"resamples": 10}, "at least 100 resamples, but got 10"),
    ],
)
def test_kernel_interval_refuses_invalid_sets_and_too_few_resamples(left, right, settings, message):
    with pytest.raises(UnnoiseError, match=message):
        kernel_interval(left, right, **settings)
