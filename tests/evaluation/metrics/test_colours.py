"""The colour check is numpy's mean and spread, and scipy's Wasserstein distance, of all pixels."""

import numpy as np
import pytest
import torch
from scipy.stats import wasserstein_distance

from unnoise.evaluation.metrics import colours
from unnoise.utils.errors import UnnoiseError


def test_it_is_numpys_and_scipys():
    pictures = torch.randint(0, 200, (300, 3, 5, 4), dtype=torch.uint8)
    others = torch.randint(20, 256, (40, 3, 7, 6), dtype=torch.uint8)
    others[:, 1] //= 3
    found = colours(pictures, others)
    assert [check.channel for check in found] == [0, 1, 2]
    for check in found:
        left, right = (x[:, check.channel].numpy().ravel() / 255 for x in (pictures, others))
        assert check.mean == pytest.approx(left.mean(), abs=1e-12)
        assert check.other_mean == pytest.approx(right.mean(), abs=1e-12)
        assert check.std == pytest.approx(np.std(left), abs=1e-12)
        assert check.other_std == pytest.approx(np.std(right), abs=1e-12)
        assert check.distance == pytest.approx(wasserstein_distance(left, right), abs=1e-12)


def test_its_ends_are_0_and_1():
    black, white = torch.zeros(2, 1, 3, 3, dtype=torch.uint8), torch.full((2, 1, 3, 3), 255, dtype=torch.uint8)
    assert colours(black, white) == [(0, 0.0, 1.0, 0.0, 0.0, 1.0)]
    pictures = torch.randint(0, 256, (10, 1, 4, 4), dtype=torch.uint8)
    assert colours(pictures, pictures.flip(0))[0].distance == 0


def test_what_cannot_be_compared():
    grey, colour = torch.zeros(2, 1, 3, 3, dtype=torch.uint8), torch.zeros(2, 3, 3, 3, dtype=torch.uint8)
    with pytest.raises(UnnoiseError, match="got 1 and 3 channels"):
        colours(grey, colour)
    with pytest.raises(UnnoiseError, match="but got 0 and 2"):
        colours(grey[:0], grey)
