"""Outpainting: windows of MultiDiffusion, and the unchanged picture in the middle."""

import pytest
import torch

from helpers.correlated import CLEAN
from helpers.sampling import last
from unnoise.diffusion.editing import on_canvas, outpaint, windowed
from unnoise.diffusion.editing.outpainting import corners
from unnoise.diffusion.oracles import Gaussian
from unnoise.diffusion.samplers import ddim, rates_at, time_grid
from unnoise.diffusion.tensors import Prediction
from unnoise.utils.errors import UnnoiseError


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_a_windowed_denoiser_of_independent_pixels_is_that_denoiser():
    """All windows agree, so that averaging them changes nothing."""
    images = random(2, 3, 13, 9)
    rates = rates_at(time_grid(4, CLEAN), 1, images)
    for overlap in (0.0, 0.5, 0.8):
        found = windowed(Gaussian(0.2, 0.6), (6, 5), overlap)(images, *rates)
        for ours, exact in zip(found[:2], Gaussian(0.2, 0.6)(images, *rates)[:2], strict=True):
            torch.testing.assert_close(ours, exact)


def test_windows_are_averaged_with_their_weights():
    """With a denoiser that predicts the mean of its window."""

    def mean_of_window(noisy_images, noise_rates, signal_rates):
        images = noisy_images.mean(dim=(2, 3), keepdim=True).expand_as(noisy_images)
        return Prediction((noisy_images - signal_rates * images) / noise_rates, images)

    canvas = torch.cat([torch.zeros(1, 1, 4, 4), torch.ones(1, 1, 4, 2)], dim=3).double()
    noise, signal = rates_at(time_grid(4, CLEAN), 1, canvas)
    found = windowed(mean_of_window, (4, 4))(canvas, noise, signal)
    # windows at columns 0 and 2, of means 0 and 1/2; weights 1 2 2 1 from left to right
    expected = torch.tensor([0, 0, 1 / 3 * 0.5, 2 / 3 * 0.5, 0.5, 0.5]).double().expand(4, 6)
    torch.testing.assert_close(found.images[0, 0], expected)
    torch.testing.assert_close(signal * found.images + noise * found.noises, canvas)


def test_corners_of_windows_cover_the_canvas():
    assert corners(28, 28, 14) == [0]
    assert corners(56, 28, 14) == [0, 14, 28]
    assert corners(40, 28, 14) == [0, 12]
    assert corners(60, 28, 14) == [0, 14, 28, 32]


def test_with_one_window_it_is_the_denoiser():
    images, rates = random(2, 1, 6, 6), rates_at(time_grid(4, CLEAN), 1, random(2, 1, 6, 6))
    found = windowed(Gaussian(0.3, 0.5), (6, 6))
    torch.testing.assert_close(
        last(ddim(found, images, 5, CLEAN)), last(ddim(Gaussian(0.3, 0.5), images, 5, CLEAN))
    )
    assert found(images, *rates).images.shape == images.shape


def test_the_picture_in_the_middle_is_unchanged():
    images = random(2, 1, 4, 6)
    for prediction in outpaint(Gaussian(), images, random(2, 1, 9, 10, seed=1), 4, CLEAN, repeats=2):
        assert torch.equal(prediction.images[..., 2:6, 2:8], images)
    assert prediction.images.shape == (2, 1, 9, 10)
    placed, known = on_canvas(images, (9, 10))
    assert known.sum() == 2 * 24
    assert torch.equal(placed[known].view(2, 1, 4, 6), images)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda x: list(outpaint(Gaussian(), x, x[..., :6, :], 5)), "at least as large"),
        (lambda x: windowed(Gaussian(), (4, 4), 1.0), "overlap"),
    ],
)
def test_bad_arguments_raise(call, sentence):
    with pytest.raises(UnnoiseError, match=sentence):
        call(random(2, 1, 8, 8))
