"""What wraps a denoiser is one: thresholds, guidance, memory, and the record that puts them together."""

import pytest
import torch

from helpers.oracles import Gaussian, column, last
from unnoise.diffusion.guidance import Guidance, guided
from unnoise.diffusion.samplers import ddim
from unnoise.diffusion.samplers.sampling import Sampling, self_conditioned
from unnoise.diffusion.schedules import LinearBeta, OffsetCosine
from unnoise.diffusion.tensors import Prediction
from unnoise.diffusion.thresholding import thresholded
from unnoise.utils.errors import UnnoiseError

NOISY = 3 * torch.randn(4, 2, 20, 20, generator=torch.Generator().manual_seed(0))
RATES = tuple(rate.expand(4, 1, 1, 1) for rate in OffsetCosine()(column(0.5)))
BOUNDS = (torch.tensor([-1.0, -0.5]).view(1, 2, 1, 1), torch.tensor([1.0, 2.0]).view(1, 2, 1, 1))


def fixed(images):
    """A denoiser that sees these images in everything."""

    def denoise(noisy_images, noise_rates, signal_rates):
        return Prediction((noisy_images - signal_rates * images) / noise_rates, images)

    return denoise


@pytest.mark.row("L5", "L6", "C3")
@pytest.mark.parametrize("clip", ["static", "dynamic"])
@pytest.mark.parametrize("rederive", [True, False])
def test_thresholds_hold_for_each_channel_and_noises_follow(clip, rederive):
    plain = fixed(NOISY)(NOISY, *RATES)
    prediction = thresholded(fixed(NOISY), BOUNDS, clip, rederive=rederive)(NOISY, *RATES)
    low, high = BOUNDS
    assert (prediction.images >= low - 1e-6).all()
    assert (prediction.images <= high + 1e-6).all()
    mixed = RATES[1] * prediction.images + RATES[0] * prediction.noises
    assert torch.allclose(mixed, NOISY, atol=1e-5) is rederive
    assert torch.equal(prediction.noises, plain.noises) is not rederive


@pytest.mark.row("C3")
def test_what_is_inside_stays_as_it_is():
    inside = (NOISY / 100).clamp(-0.4, 0.9)
    for clip in ("none", "static", "dynamic"):
        prediction = thresholded(fixed(inside), BOUNDS, clip)(NOISY, *RATES)
        torch.testing.assert_close(prediction.images, inside, atol=1e-6, rtol=1e-6)
    denoise = fixed(inside)
    assert thresholded(denoise, BOUNDS, "none") is denoise


def test_dynamic_thresholds_keep_the_contrast():
    """An image twice too strong is halved, up to its most extreme 0.5 %, and not cut."""
    bounds = (-torch.ones(1, 1, 1, 1), torch.ones(1, 1, 1, 1))
    ramp = torch.linspace(-2, 2, 401).expand(1, 1, 1, 401)
    noisy = torch.zeros(1, 1, 1, 401)
    rates = tuple(rate[:1] for rate in RATES)
    found = thresholded(fixed(ramp), bounds, "dynamic")(noisy, *rates).images
    reach = torch.quantile(ramp.abs(), 0.995).item()
    torch.testing.assert_close(found, (ramp / reach).clamp(-1, 1))
    assert found.unique().numel() > 395
    assert thresholded(fixed(ramp), bounds, "static")(noisy, *rates).images.unique().numel() < 205


@pytest.mark.row("L10")
def test_guidance_of_two_gaussians_is_known():
    """Of N(1, 1) and N(0, 1) predictions differ by a constant: scale w moves the mean to w."""
    noises = torch.randn(2000, 1, 3, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    schedule = OffsetCosine(0.002, 0.9999)
    for scale in (0.0, 1.0, 2.5):
        denoise = guided(Gaussian(1.0, 1.0), Gaussian(0.0, 1.0), Guidance(scale=scale))
        images = last(ddim(denoise, noises, 200, schedule)).images
        assert images.mean().item() == pytest.approx(scale, abs=0.03)
        assert images.std().item() == pytest.approx(1, abs=0.03)


def test_guidance_keeps_the_equation_and_asks_only_where_it_must():
    asked = []

    def unconditional(*arguments):
        asked.append(float(arguments[1][0] / arguments[2][0]))
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
    asked.clear()
    denoise = guided(Gaussian(1.0), unconditional, Guidance(scale=2, interval=(0.5, 2.0)))
    last(ddim(denoise, noises, 50, OffsetCosine()))
    assert asked
    assert all(0.5 <= ratio <= 2 for ratio in asked)
    asked.clear()
    last(ddim(guided(Gaussian(1.0), unconditional, Guidance()), noises, 5, OffsetCosine()))
    assert not asked  # at scale 1 the unconditional one changes nothing


def test_rescaled_guidance_has_the_spread_of_the_conditional_image():
    """2305.08891, eq. 15-16 with phi = 1."""
    towards, away = fixed(NOISY), fixed(0.2 * NOISY.flip(0))
    for phi in (0.0, 0.7, 1.0):
        found = guided(towards, away, Guidance(scale=4, rescale=phi))(NOISY, *RATES).images
        plain = 0.2 * NOISY.flip(0) + 4 * (NOISY - 0.2 * NOISY.flip(0))
        wanted = NOISY.std(dim=(1, 2, 3)) * phi + plain.std(dim=(1, 2, 3)) * (1 - phi)
        torch.testing.assert_close(found.std(dim=(1, 2, 3)), wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.row("L4")
def test_memory_shows_each_step_the_images_of_the_one_before():
    seen = []

    def denoise(noisy_images, noise_rates, signal_rates, *, previous_images):
        seen.append(previous_images)
        return Gaussian()(noisy_images, noise_rates, signal_rates)

    noises = torch.randn(4, 1, 3, 3, dtype=torch.float64)
    walk = list(ddim(self_conditioned(denoise), noises, 4, OffsetCosine()))
    assert seen[0] is None
    for shown, prediction in zip(seen[1:], walk, strict=False):
        assert torch.equal(shown, prediction.images)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Guidance(scale=-1), "scale is at least 0"),
        (lambda: Guidance(rescale=1.5), "rescale goes from 0 to 1"),
        (lambda: Guidance(interval=(2.0, 1.0)), "interval goes from"),
        (lambda: Sampling(num_steps=0), "at least 1 step"),
        (lambda: Sampling(eta=2.0), "eta goes from 0"),
        (lambda: list(Sampling(num_steps=60).walk(Gaussian(), NOISY, LinearBeta(50))), "in 1 to 50 steps"),
    ],
)
def test_what_is_refused(make, message):
    with pytest.raises(UnnoiseError, match=message):
        make()


def test_a_sampling_walks_as_it_says():
    schedule, noises = LinearBeta(50), torch.randn(4, 1, 3, 3, dtype=torch.float64)
    ours = last(Sampling(num_steps=7, spacing="leading").walk(Gaussian(), noises, schedule)).images
    times = schedule.times(7, "leading")
    torch.testing.assert_close(ours, last(ddim(Gaussian(), noises, 7, schedule, times=times)).images)
    assert len(list(Sampling(sampler="ancestral", num_steps=50).walk(Gaussian(), noises, schedule))) == 50
