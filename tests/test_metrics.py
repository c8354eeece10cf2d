"""The kernel distance has its closed form, and is right on average from two vectors on."""

import itertools

import pytest
import torch

from unnoise.errors import UnnoiseError
from unnoise.metrics import kernel_distance

LEFT = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
RIGHT = torch.tensor([[1.0, 1.0], [0.0, 0.0], [2.0, 0.0]])


@pytest.mark.row("K1")
def test_the_studys_numbers():
    assert kernel_distance(LEFT, RIGHT).item() == pytest.approx(-65 / 36, abs=1e-12)  # -1.8055556
    assert kernel_distance(LEFT, LEFT).item() == pytest.approx(-14 / 9, abs=1e-12)  # -1.5555556
    assert kernel_distance(LEFT, RIGHT).dtype == torch.float64


@pytest.mark.row("K1")
def test_it_is_the_double_sum():
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
def test_the_mean_over_all_samples_is_the_distance_of_the_distributions(values, others, exact):
    """In one dimension k = 1 + 3 xy + 3 (xy)^2 + (xy)^3: MMD^2 weighs the gaps of three moments by 3, 3, 1."""
    found = [
        kernel_distance(torch.tensor(x).view(2, 1), torch.tensor(y).view(2, 1)).item()
        for x in itertools.product(values, repeat=2)
        for y in itertools.product(others, repeat=2)
    ]
    assert sum(found) / len(found) == pytest.approx(exact, abs=1e-12)
    assert min(found) < 0


def test_a_set_of_one_has_no_pairs():
    with pytest.raises(UnnoiseError, match="needs 2, but got 3 and 1"):
        kernel_distance(LEFT, RIGHT[:1])
