"""Coverage of confidence intervals in simulations where the truth is known."""

import math

import pytest
import torch
from scipy.stats import binomtest

from unnoise.evaluation.metrics import detect_copies, frechet_interval, kernel_interval, manifold_metrics
from unnoise.evaluation.metrics.confidence_intervals import normal_interval, share_interval

RUNS = 200


def rate(intervals, truth):
    """The share of the intervals that contain the truth; itself uncertain by 1.5 % (one standard deviation)."""
    return sum(interval.low <= truth <= interval.high for interval in intervals) / len(intervals)


def cubic_distance(dimensions, shift):
    """The MMD^2 of N(0, 1) and N(shift, 1) in closed form.

    With u = x.y/d of independent x, y: E (u + 1)^3 = E u^3 + 3 E u^2 + 3 E u + 1. Of x ~ N(a, 1), y ~ N(b, 1)
    in d dimensions with m = a.b: E x.y = m, E (x.y)^2 = m^2 + |a|^2 + |b|^2 + d,
    E (x.y)^3 = m^3 + 3 m (|a|^2 + |b|^2 + d + 2).
    """

    def mean(a, b):
        d, m = dimensions, dimensions * a * b
        squares = d * (a * a + b * b)
        first, second, third = m, m**2 + squares + d, m**3 + 3 * m * (squares + d + 2)
        return third / d**3 + 3 * second / d**2 + 3 * first / d + 1

    return mean(0, 0) + mean(shift, shift) - 2 * mean(0, shift)


@pytest.mark.row("K1")
@pytest.mark.parametrize(
    ("dimensions", "shift", "least", "most"),
    [(16, 0.3, 0.91, 0.99), (64, 0.4, 0.91, 0.99), (16, 0.0, 0.95, 1.0)],
)
def test_intervals_of_the_kernel_distance_contain_the_truth(dimensions, shift, least, most):
    """95 % where the distributions differ, and no fewer where they do not."""
    intervals = [
        kernel_interval(torch.randn(60, dimensions), torch.randn(50, dimensions) + shift, resamples=300, seed=k)
        for k in range(RUNS)
    ]
    truth = cubic_distance(dimensions, shift)
    assert least <= rate(intervals, truth) <= most
    values = torch.tensor([interval.value for interval in intervals], dtype=torch.float64)
    assert values.mean().item() == pytest.approx(truth, abs=3.5 * values.std().item() / math.sqrt(RUNS))


def test_intervals_of_the_frechet_distance_contain_the_truth():
    """With many more pictures than dimensions."""
    dimensions, shift, scale = 3, 0.4, 1.5
    intervals = [
        frechet_interval(torch.randn(600, dimensions), scale * torch.randn(500, dimensions) + shift)
        for _ in range(RUNS)
    ]
    truth = dimensions * (shift**2 + (scale - 1) ** 2)
    assert 0.91 <= rate(intervals, truth) <= 0.985


def test_intervals_of_precision_recall_density_and_coverage_contain_the_truth():
    """Around the mean over all runs, what these numbers are for so many pictures; too often, if anything."""
    runs = [manifold_metrics(torch.randn(100, 8), 0.9 * torch.randn(100, 8) + 0.3) for _ in range(RUNS)]
    for name in ("precision", "recall", "density", "coverage"):
        intervals = [getattr(run, name) for run in runs]
        truth = sum(interval.value for interval in intervals) / RUNS
        assert rate(intervals, truth) >= 0.92


def test_intervals_of_the_share_of_copies_and_the_index_contain_the_truth():
    """A third of the samples are copies; all training pictures are the same in all runs, as in a real run."""
    training = torch.randn(200, 10)
    truth, shares, indices = 0.3, [], []
    for _ in range(RUNS):
        copies = int((torch.rand(80) < truth).sum())
        copied = training[torch.randint(200, (copies,))] + 0.01 * torch.randn(copies, 10)
        found = detect_copies(torch.cat([copied, torch.randn(80 - copies, 10)]), training, torch.randn(60, 10))
        shares.append(found.copied)
        indices.append(found.index)
    assert 0.92 <= rate(shares, truth) <= 0.985
    assert 0.92 <= rate(indices, truth + (1 - truth) / 2) <= 0.985


@pytest.mark.parametrize(("met", "count"), [(0, 12), (3, 40), (40, 40), (500, 900)])
def test_share_interval_equals_scipys_wilson_interval(met, count):
    found = share_interval(met / count, count)
    expected = binomtest(met, count).proportion_ci(0.95, "wilson")
    assert tuple(found) == pytest.approx((met / count, expected.low, expected.high), abs=1e-12)
    assert found.low <= found.value <= found.high
    share = met / count
    # A variance four times as large is that of a quarter of the pictures.
    wide = share_interval(share, count, 4 * share * (1 - share) / count)
    assert wide == (share_interval(share, count / 4) if 0 < met < count else found)


def test_normal_interval_is_196_standard_deviations_to_either_side():
    assert tuple(normal_interval(3.0, 4.0)) == pytest.approx((3, 3 - 3.92, 3 + 3.92), abs=1e-3)
