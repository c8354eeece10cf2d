"""Thresholding: bounds of each channel, noises, and the contrast of dynamic thresholding."""

import pytest
import torch

from helpers.sampling import column
from unnoise.diffusion.schedules import OffsetCosine
from unnoise.diffusion.tensors import Prediction
from unnoise.diffusion.thresholding import thresholded

NOISY = 3 * torch.randn(4, 2, 20, 20, generator=torch.Generator().manual_seed(0))
RATES = tuple(rate.expand(4, 1, 1, 1) for rate in OffsetCosine()(column(0.5)))
BOUNDS = (torch.tensor([-1.0, -0.5]).view(1, 2, 1, 1), torch.tensor([1.0, 2.0]).view(1, 2, 1, 1))


def fixed(images):
    """A denoiser that predicts these images from all noisy images."""

    def denoise(noisy_images, noise_rates, signal_rates):
        return Prediction((noisy_images - signal_rates * images) / noise_rates, images)

    return denoise


@pytest.mark.row("L5", "L6", "C3")
@pytest.mark.parametrize("clip", ["static", "dynamic"])
@pytest.mark.parametrize("rederive", [True, False])
def test_images_are_within_the_bounds_of_each_channel_and_noises_are_rederived_or_kept(clip, rederive):
    plain = fixed(NOISY)(NOISY, *RATES)
    prediction = thresholded(fixed(NOISY), BOUNDS, clip, rederive=rederive)(NOISY, *RATES)
    low, high = BOUNDS
    assert (prediction.images >= low - 1e-6).all()
    assert (prediction.images <= high + 1e-6).all()
    mixed = RATES[1] * prediction.images + RATES[0] * prediction.noises
    assert torch.allclose(mixed, NOISY, atol=1e-5) is rederive
    assert torch.equal(prediction.noises, plain.noises) is not rederive


def test_images_are_clipped_alone_as_by_ddim_of_diffusers():
    mine = thresholded(fixed(NOISY), BOUNDS, "images")(NOISY, *RATES)
    its = thresholded(fixed(NOISY), BOUNDS, "static", rederive=False)(NOISY, *RATES)
    assert torch.equal(mine.images, its.images)
    assert torch.equal(mine.noises, its.noises)


@pytest.mark.row("C3")
def test_images_within_the_bounds_are_unchanged():
    inside = (NOISY / 100).clamp(-0.4, 0.9)
    for clip in ("none", "static", "dynamic", "images"):
        prediction = thresholded(fixed(inside), BOUNDS, clip)(NOISY, *RATES)
        torch.testing.assert_close(prediction.images, inside, atol=1e-6, rtol=1e-6)
    denoise = fixed(inside)
    assert thresholded(denoise, BOUNDS, "none") is denoise


def test_dynamic_thresholding_keeps_the_contrast():
    """An image of twice the range is scaled to the range, except for its most extreme 0.5 %."""
    bounds = (-torch.ones(1, 1, 1, 1), torch.ones(1, 1, 1, 1))
    ramp = torch.linspace(-2, 2, 401).expand(1, 1, 1, 401)
    noisy = torch.zeros(1, 1, 1, 401)
    rates = tuple(rate[:1] for rate in RATES)
    found = thresholded(fixed(ramp), bounds, "dynamic")(noisy, *rates).images
    reach = torch.quantile(ramp.abs(), 0.995).item()
    torch.testing.assert_close(found, (ramp / reach).clamp(-1, 1))
    assert found.unique().numel() > 395
    assert thresholded(fixed(ramp), bounds, "static")(noisy, *rates).images.unique().numel() < 205
