"""Comparison of colour channels against numpy and scipy."""

import numpy as np
import pytest
import torch
from scipy.stats import wasserstein_distance

from unnoise.evaluation.metrics import compare_channels
from unnoise.utils.errors import UnnoiseError


def test_channels_have_numpys_moments_and_scipys_wasserstein_distance():
    pictures = torch.randint(0, 200, (300, 3, 5, 4), dtype=torch.uint8)
    others = torch.randint(20, 256, (40, 3, 7, 6), dtype=torch.uint8)
    others[:, 1] //= 3
    found = compare_channels(pictures, others)
    assert [check.channel for check in found] == [0, 1, 2]
    for check in found:
        left, right = (x[:, check.channel].numpy().ravel() / 255 for x in (pictures, others))
        assert check.mean == pytest.approx(left.mean(), abs=1e-12)
        assert check.other_mean == pytest.approx(right.mean(), abs=1e-12)
        assert check.std == pytest.approx(np.std(left), abs=1e-12)
        assert check.other_std == pytest.approx(np.std(right), abs=1e-12)
        assert check.distance == pytest.approx(wasserstein_distance(left, right), abs=1e-12)


def test_distance_of_black_and_white_is_1_and_of_equal_histograms_0():
    black, white = torch.zeros(2, 1, 3, 3, dtype=torch.uint8), torch.full((2, 1, 3, 3), 255, dtype=torch.uint8)
    assert compare_channels(black, white) == [(0, 0.0, 1.0, 0.0, 0.0, 1.0)]
    pictures = torch.randint(0, 256, (10, 1, 4, 4), dtype=torch.uint8)
    assert compare_channels(pictures, pictures.flip(0))[0].distance == 0


def test_other_channels_and_empty_sets_are_refused():
    grey, colour = torch.zeros(2, 1, 3, 3, dtype=torch.uint8), torch.zeros(2, 3, 3, 3, dtype=torch.uint8)
    with pytest.raises(UnnoiseError, match="got 1 and 3 channels"):
        compare_channels(grey, colour)
    with pytest.raises(UnnoiseError, match="but got 0 and 2"):
        compare_channels(grey[:0], grey)
