"""Classifier-free guidance: known means for Gaussians, the interval, rescaling and bad arguments."""

import pytest
import torch

from helpers.sampling import column, last
from unnoise.diffusion.guidance import Guidance, guided
from unnoise.diffusion.oracles import Gaussian
from unnoise.diffusion.samplers import ddim
from unnoise.diffusion.schedules import OffsetCosine
from unnoise.diffusion.tensors import Prediction
from unnoise.utils.errors import UnnoiseError

NOISY = 3 * torch.randn(4, 2, 20, 20, generator=torch.Generator().manual_seed(0))
RATES = tuple(rate.expand(4, 1, 1, 1) for rate in OffsetCosine()(column(0.5)))


def fixed(images):
    """A denoiser that predicts these images from all noisy images."""

    def denoise(noisy_images, noise_rates, signal_rates):
        return Prediction((noisy_images - signal_rates * images) / noise_rates, images)

    return denoise


@pytest.mark.row("L10")
def test_guidance_between_two_gaussians_has_a_known_mean():
    """The predictions for N(1, 1) and N(0, 1) differ by a constant, so that the mean is the scale."""
    noises = torch.randn(2000, 1, 3, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    schedule = OffsetCosine(0.002, 0.9999)
    for scale in (0.0, 1.0, 2.5):
        denoise = guided(Gaussian(1.0, 1.0), Gaussian(0.0, 1.0), Guidance(scale=scale))
        images = last(ddim(denoise, noises, 200, schedule)).images
        assert images.mean().item() == pytest.approx(scale, abs=0.03)
        assert images.std().item() == pytest.approx(1, abs=0.03)


def test_guided_predictions_mix_to_the_noisy_images_and_the_worse_denoiser_is_called_only_in_the_interval():
    called = []

    def unconditional(*arguments):
        called.append(float(arguments[1][0] / arguments[2][0]))
        return Gaussian()(*arguments)

    noises = torch.randn(4, 1, 3, 3, dtype=torch.float64)
    for guidance in (Guidance(scale=3), Guidance(scale=3, rescale=0.7), Guidance(scale=3, rescale=1)):
        for noise_rate in (0.1, 0.9):
            rates = (
                column(*[noise_rate] * 4, dtype=torch.float64),
                column(*[(1 - noise_rate**2) ** 0.5] * 4, dtype=torch.float64),
            )
            found = guided(Gaussian(1.0), unconditional, guidance)(noises, *rates)
            torch.testing.assert_close(rates[1] * found.images + rates[0] * found.noises, noises)
    called.clear()
    denoise = guided(Gaussian(1.0), unconditional, Guidance(scale=2, interval=(0.5, 2.0)))
    last(ddim(denoise, noises, 50, OffsetCosine()))
    assert called
    assert all(0.5 <= ratio <= 2 for ratio in called)
    called.clear()
    last(ddim(guided(Gaussian(1.0), unconditional, Guidance()), noises, 5, OffsetCosine()))
    assert not called  # at scale 1 there is no guidance


def test_rescaled_guidance_has_the_standard_deviation_of_the_conditional_image():
    """2305.08891, eq. 15-16 with phi = 1."""
    better, worse = fixed(NOISY), fixed(0.2 * NOISY.flip(0))
    for phi in (0.0, 0.7, 1.0):
        found = guided(better, worse, Guidance(scale=4, rescale=phi))(NOISY, *RATES).images
        plain = 0.2 * NOISY.flip(0) + 4 * (NOISY - 0.2 * NOISY.flip(0))
        wanted = NOISY.std(dim=(1, 2, 3)) * phi + plain.std(dim=(1, 2, 3)) * (1 - phi)
        torch.testing.assert_close(found.std(dim=(1, 2, 3)), wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Guidance(scale=-1), "scale is at least 0"),
        (lambda: Guidance(scale=float("inf")), "scale is a finite number"),
        (lambda: Guidance(rescale=1.5), "rescale is from 0 to 1"),
        (lambda: Guidance(interval=(2.0, 1.0)), "interval goes from"),
    ],
)
def test_bad_arguments_raise(make, message):
    with pytest.raises(UnnoiseError, match=message):
        make()
