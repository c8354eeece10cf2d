"""Grain: local contrasts of pictures, their distance, and the polish that brings samples near to pictures."""

import math
from functools import partial

import numpy as np
import pytest
import torch

from unnoise.data import ImageSet
from unnoise.evaluation.grain import LEVELS, contrast_distance, contrasts, contrasts_of, find_polish


def flat(colours, size=32):
    """Pictures of a few large squares, (B, 3, H, W), which have no fine detail but at their edges."""
    squares = torch.randint(0, 256, (colours, 3, 4, 4), generator=torch.Generator().manual_seed(3))
    return squares.repeat_interleave(size // 4, 2).repeat_interleave(size // 4, 3).to(torch.uint8)


def board(height, size=64):
    """A chequered picture whose values are `height` above and below 100."""
    return (100 + height * (2 * (torch.arange(size)[:, None] + torch.arange(size)).remainder(2) - 1))[
        None, None
    ].to(torch.uint8)


def test_a_distribution_rises_to_1_and_that_of_a_plain_picture_is_all_at_0():
    found = contrasts(flat(5))
    assert (found.diff() >= 0).all()
    assert found[-1] == pytest.approx(1)
    assert (contrasts(torch.full((2, 1, 8, 8), 7, dtype=torch.uint8)) == 1).all()


@pytest.mark.parametrize(("low", "high"), [(9, 18), (9, 90)])
def test_the_distance_of_chequered_pictures_is_in_closed_form(low, high):
    """Within such a picture each value is 8/9 of the height from its mean of 3 x 3."""
    inner = [contrasts(board(height)[..., :, :]) for height in (low, high)]
    wanted = math.log1p(8 * high / 9) - math.log1p(8 * low / 9)
    assert contrast_distance(*inner) == pytest.approx(wanted, rel=0.03)  # edges have fewer neighbours
    assert contrast_distance(inner[0], inner[0]) == 0


def test_grain_and_blur_both_are_far_from_the_pictures():
    generator = torch.Generator().manual_seed(0)
    pictures = torch.randint(0, 256, (8, 3, 32, 32), generator=generator).to(torch.uint8)
    real = contrasts(pictures)
    grain = (
        (pictures + 20 * torch.randn(pictures.shape, generator=generator)).round().clamp(0, 255).to(torch.uint8)
    )
    blur = torch.nn.functional.avg_pool2d(pictures.float(), 3, 1, 1).round().to(torch.uint8)
    assert contrast_distance(contrasts(grain), real) > 0.01
    assert contrast_distance(contrasts(blur), real) > 0.5


def test_chunks_of_pictures_add_up(monkeypatch):
    pixels = flat(40).permute(0, 2, 3, 1).numpy()
    images = ImageSet(pixels, "test", "f")
    whole = contrasts_of(images, np.arange(40))
    monkeypatch.setattr("unnoise.evaluation.grain._LOADED_VALUES", 3 * 32 * 32 * 7)
    torch.testing.assert_close(contrasts_of(images, np.arange(40)), whole)
    torch.testing.assert_close(whole, contrasts(flat(40)))


def smoothed(images, level):
    """What a denoiser would do that takes fine detail for noise, as far as there may be some."""
    means = torch.nn.functional.avg_pool2d(images, 3, 1, 1, count_include_pad=False)
    return means + (images - means) / (1 + level**2 / 0.05**2)


def test_grain_is_polished_away_and_pictures_are_left_as_they_are():
    pictures = flat(30).float() / 255
    wanted = contrasts(flat(30))
    assert find_polish(pictures, wanted, partial(smoothed, pictures))[0] == 0
    grain = 0.04 * torch.randn(pictures.shape, generator=torch.Generator().manual_seed(0))
    level, polished = find_polish(pictures + grain, wanted, partial(smoothed, pictures + grain))
    assert level in LEVELS
    assert level > 0.05
    grainy, clean = (
        contrasts((255 * one).round().clamp(0, 255).to(torch.uint8)) for one in (pictures + grain, polished)
    )
    assert contrast_distance(clean, wanted) < 0.7 * contrast_distance(grainy, wanted)


def test_samples_that_are_blurred_are_not_polished():
    smooth = torch.full((4, 3, 16, 16), 0.5)
    level, same = find_polish(smooth, contrasts(flat(4, 16)), partial(smoothed, smooth))
    assert level == 0
    assert torch.equal(same, smooth)
