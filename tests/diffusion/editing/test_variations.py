"""Variations of images, and interpolation between images."""

import pytest
import torch

from helpers.sampling import last
from helpers.two_peaks import TwoPeaks, normal
from unnoise.diffusion.editing import inverted_noises, noises_between, vary
from unnoise.diffusion.interpolation import slerp
from unnoise.diffusion.samplers import ddim
from unnoise.diffusion.schedules import OffsetCosine
from unnoise.utils.errors import UnnoiseError

CLEAN = OffsetCosine(0.002, 0.9999)


def test_variations_are_ddim_from_noises_between_the_inverted_and_the_given_ones():
    images = last(ddim(TwoPeaks(), normal(3), 20, CLEAN)).images
    others = normal(6, seed=5)
    same = last(vary(TwoPeaks(), images, others, 0.0, 20, CLEAN)).images
    torch.testing.assert_close(same, images.repeat(2, 1, 1, 1), atol=0.02, rtol=0)
    new = last(vary(TwoPeaks(), images, others, 1.0, 20, CLEAN)).images
    torch.testing.assert_close(new, last(ddim(TwoPeaks(), others, 20, CLEAN)).images)
    some = last(vary(TwoPeaks(), images, others, 0.3, 20, CLEAN)).images
    own = inverted_noises(TwoPeaks(), images, 20, CLEAN).repeat(2, 1, 1, 1)
    between = slerp(own, others, torch.full((6, 1, 1, 1), 0.3, dtype=torch.float64))
    torch.testing.assert_close(some, last(ddim(TwoPeaks(), between, 20, CLEAN)).images)


def test_interpolation_between_images_passes_through_them():
    images = last(ddim(TwoPeaks(), normal(3), 20, CLEAN)).images
    way = noises_between(TwoPeaks(), images, 5, 20, CLEAN)
    drawn = last(ddim(TwoPeaks(), way, 20, CLEAN)).images
    torch.testing.assert_close(drawn[::2], images, atol=0.02, rtol=0)


@pytest.mark.parametrize(
    ("count", "amount", "sentence"),
    [(6, -0.1, "amount of variation"), (4, 0.1, "must be a multiple of the number of images")],
)
def test_bad_arguments_raise(count, amount, sentence):
    with pytest.raises(UnnoiseError, match=sentence):
        list(vary(TwoPeaks(), normal(), normal(count), amount))
