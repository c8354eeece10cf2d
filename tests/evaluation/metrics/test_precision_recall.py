"""Precision, recall, density and coverage against their definitions and expectations."""

import math

import numpy as np
import pytest
import torch

from unnoise.evaluation.metrics import manifold_metrics, vectors
from unnoise.evaluation.metrics.vectors import nearest
from unnoise.utils.errors import UnnoiseError


def written_out(x, y, k):
    """The definitions, pair by pair."""

    def ball(centre, own):
        return sorted(math.dist(centre, other) for other in own)[k]  # itself comes first

    def held(centres, points):
        return [[math.dist(c, p) <= ball(c, centres) for p in points] for c in centres]

    real, generated = np.array(held(x, y)), np.array(held(y, x))
    return real.any(0).mean(), generated.any(0).mean(), real.sum(0).mean() / k, real.any(1).mean()


@pytest.mark.parametrize(("k", "dimensions"), [(1, 2), (5, 3), (3, 20)])
def test_metrics_equal_their_definitions_pair_by_pair(k, dimensions, monkeypatch):
    monkeypatch.setattr(vectors, "MAX_ENTRIES", 100)  # a few rows at a time
    x, y = torch.randn(40, dimensions).double(), 0.8 * torch.randn(30, dimensions).double() + 0.3
    found = manifold_metrics(x, y, k)
    expected = written_out(x.tolist(), y.tolist(), k)
    assert [part.value for part in found] == pytest.approx(expected, abs=1e-12)
    for part in found:
        assert 0 <= part.low <= part.value <= part.high


def test_precision_recall_and_coverage_of_equal_sets_are_1():
    x = torch.randn(50, 6)
    found = manifold_metrics(x, x, k=5)
    assert (found.precision.value, found.recall.value, found.coverage.value) == (1, 1, 1)
    assert found.density.value == pytest.approx(6 / 5)  # the 5 balls of the neighbours' ranks, and its own
    assert found.precision.low == pytest.approx(1 / (1 + 1.96**2 / 50), rel=1e-3)


def test_metrics_of_distant_sets_are_0():
    found = manifold_metrics(torch.randn(60, 4), torch.randn(60, 4) + 100)
    assert [part.value for part in found] == [0, 0, 0, 0]
    assert found.recall.high == pytest.approx(1.96**2 / (60 + 1.96**2), rel=1e-3)


def test_a_missing_cluster_lowers_recall_and_an_invented_one_precision():
    """Two clusters, of which the generator knows one; and one that it makes up."""
    here, there, nowhere = (torch.randn(100, 3) + shift for shift in (0, 50, -50))
    dropped = manifold_metrics(torch.cat([here, there]), torch.randn(100, 3))
    assert dropped.precision.value > 0.85
    assert 0.4 < dropped.recall.value <= 0.5
    assert 0.4 < dropped.coverage.value <= 0.5
    invented = manifold_metrics(here, torch.cat([torch.randn(100, 3), nowhere]))
    assert 0.4 < invented.precision.value <= 0.5
    assert invented.coverage.value > 0.85


@pytest.mark.parametrize(("count", "other", "k"), [(40, 40, 3), (60, 30, 5)])
def test_density_and_coverage_of_equal_distributions_have_their_expectation(count, other, k):
    """Density 1, and the coverage of 2002.09797, section 3.3, whatever the distribution and its dimensions."""
    runs = [manifold_metrics(torch.randn(count, 3), torch.randn(other, 3), k) for _ in range(150)]
    coverage = 1 - math.prod((count - i) / (count + other - i) for i in range(1, k + 1))
    for name, expected in (("coverage", coverage), ("density", 1.0)):
        values = np.array([getattr(run, name).value for run in runs])
        assert values.mean() == pytest.approx(expected, abs=3.5 * values.std() / math.sqrt(len(runs)))


def test_distances_of_nearest_neighbours_are_exact():
    pool = 1e4 + torch.randn(300, 20).double()
    points = pool[:7] + 1e-9
    found = nearest(points, pool, 3)
    assert found.indices[:, 0].tolist() == list(range(7))
    expected = torch.stack([(point - pool).square().sum(1).sqrt().sort().values[:3] for point in points])
    torch.testing.assert_close(found.distances, expected, rtol=1e-12, atol=0)
    assert nearest(pool[:5], pool, 1).distances.flatten().tolist() == [0] * 5


@pytest.mark.parametrize(
    ("real", "generated", "k", "message"),
    [
        (torch.zeros(6, 2), torch.zeros(9, 2), 5, "at least 7 pictures in each set, but got 6 and 9"),
        (torch.zeros(9, 2), torch.zeros(9, 3), 5, "one length, but got 2 and 3"),
        (torch.zeros(9, 2), torch.zeros(9, 2), 0, "k >= 1 nearest neighbours, but got k = 0"),
    ],
)
def test_metrics_refuse_too_few_pictures_other_lengths_and_k_below_1(real, generated, k, message):
    with pytest.raises(UnnoiseError, match=message):
        manifold_metrics(real, generated, k)
