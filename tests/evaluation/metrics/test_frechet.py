"""Fréchet distance and its interval against scipy, closed forms and numerical derivatives."""

import math

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm

from unnoise.evaluation.metrics import frechet_distance, frechet_interval
from unnoise.utils.errors import UnnoiseError


def formula(x, y):
    """The textbook's, from the means and covariances that numpy finds."""
    gap, left, right = x.mean(0) - y.mean(0), *(np.atleast_2d(np.cov(z, rowvar=False)) for z in (x, y))
    root = sqrtm(left)
    middle = sqrtm(root @ right @ root).real
    return float(gap @ gap + np.trace(left) + np.trace(right) - 2 * np.trace(middle))


def nuclear(x, y):
    """tr((S_x S_y)^(1/2)) is the sum of the singular values of X Y^T: no root of a singular matrix."""
    gap = x.mean(0) - y.mean(0)
    a, b = (z - z.mean(0) for z in (x, y))
    a, b = a / np.sqrt(len(x) - 1), b / np.sqrt(len(y) - 1)
    return float(gap @ gap + (a**2).sum() + (b**2).sum() - 2 * np.linalg.svd(a @ b.T, compute_uv=False).sum())


def features(count, dimensions, seed, shift=0.0):
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(dimensions, dimensions, generator=generator, dtype=torch.float64)
    return torch.randn(count, dimensions, generator=generator, dtype=torch.float64) @ mixing + shift


@pytest.mark.row("L9")
@pytest.mark.parametrize(("count", "other", "dimensions"), [(200, 150, 5), (300, 300, 40), (50, 70, 1)])
def test_frechet_distance_equals_scipys_formula(count, other, dimensions):
    x, y = features(count, dimensions, 1), features(other, dimensions, 2, shift=0.7)
    assert frechet_distance(x, y).item() == pytest.approx(formula(x.numpy(), y.numpy()), rel=1e-6)
    assert frechet_distance(x, y).dtype == torch.float64


@pytest.mark.parametrize(("count", "other", "dimensions"), [(20, 30, 60), (2, 100, 8), (70, 20, 40)])
def test_frechet_distance_of_fewer_pictures_than_dimensions(count, other, dimensions):
    x, y = features(count, dimensions, 1), features(other, dimensions, 2, shift=0.7)
    assert frechet_distance(x, y).item() == pytest.approx(nuclear(x.numpy(), y.numpy()), rel=1e-6)


@pytest.mark.row("L9")
@pytest.mark.parametrize(("count", "dimensions"), [(100, 8), (15, 40)])
def test_frechet_distance_of_a_set_to_itself_is_0(count, dimensions):
    x = features(count, dimensions, 0)
    assert 0 <= frechet_distance(x, x).item() < 1e-9
    assert 0 <= frechet_distance(x, x[torch.randperm(count)]).item() < 1e-6 * x.var(0).sum()
    assert 0 <= frechet_interval(x, x).low <= frechet_interval(x, x).high < 1e-6 * x.var(0).sum()


def test_frechet_distance_does_not_depend_on_the_origin():
    x, y = features(100, 4, 1), features(100, 4, 2)
    near, far = frechet_distance(x, y).item(), frechet_distance(x + 1e5, y + 1e5).item()
    assert far == pytest.approx(near, rel=1e-6)


def test_frechet_distance_of_a_shift_and_of_a_stretch():
    """A shift costs its square, and in one dimension a stretch the square of the difference of the spreads."""
    x = features(100, 6, 3)
    assert frechet_distance(x, x + 2).item() == pytest.approx(4 * 6, rel=1e-9)
    stretched = 3 * (x - x.mean(0)) + x.mean(0)
    assert frechet_distance(x, stretched).item() == pytest.approx(4 * x.var(0).sum().item())


@pytest.mark.parametrize("dimensions", [3, 12])
def test_width_of_the_interval_is_that_of_the_numerical_influence_function(dimensions):
    """The influence of a picture is the derivative of the distance in its weight."""
    x, y = features(9, dimensions, 4).numpy(), features(8, dimensions, 5, shift=0.5).numpy()

    def influences(ours, others):
        """The distance of weighted pictures to the others, differentiated numerically at equal weights."""
        count, gap = len(ours), ours.mean(0) - others.mean(0)
        factor = count / (count - 1)  # of the covariance

        def weighted(weights):
            mean = weights @ ours / weights.sum()
            rows = np.sqrt(factor * weights / weights.sum())[:, None] * (ours - mean)
            other = (others - others.mean(0)) / np.sqrt(len(others) - 1)
            cross = np.linalg.svd(rows @ other.T, compute_uv=False).sum()
            shift = mean - others.mean(0)
            return shift @ shift + (rows**2).sum() + (other**2).sum() - 2 * cross

        step = 1e-5
        ends = [[weighted(np.ones(count) + sign * e) for sign in (1, -1)] for e in step * np.eye(count)]
        slopes = np.array([(above - below) / (2 * step) for above, below in ends])
        linear = 2 * (ours - ours.mean(0)) @ gap
        return linear + (count * slopes - linear) / factor  # up to a constant

    variance = sum(influences(*pair).var(ddof=1) / len(pair[0]) for pair in ((x, y), (y, x)))
    found = frechet_interval(torch.from_numpy(x), torch.from_numpy(y))
    assert found.high - found.value == pytest.approx(1.959964 * math.sqrt(variance), rel=1e-4)


def test_width_of_the_interval_falls_with_the_root_of_the_count():
    x, y = features(400, 3, 6), features(400, 3, 7, shift=1.0)
    once, four = frechet_interval(x, y), frechet_interval(x.repeat(4, 1), y.repeat(4, 1))
    assert once.value == frechet_distance(x, y).item()
    assert (once.high - once.low) / (four.high - four.low) == pytest.approx(2, rel=0.01)
    assert tuple(frechet_interval(y, x)) == pytest.approx(once, rel=1e-9)


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (torch.zeros(1, 3), torch.zeros(4, 3), "at least 2 pictures in each set, but got 1 and 4"),
        (torch.zeros(4, 3), torch.zeros(4, 2), "one length, but got 3 and 2"),
        (torch.zeros(4, 3), torch.full((4, 3), torch.nan), "but 4 pictures have NaN"),
    ],
)
def test_frechet_distance_refuses_sets_that_it_cannot_compare(x, y, message):
    with pytest.raises(UnnoiseError, match=message):
        frechet_distance(x, y)
