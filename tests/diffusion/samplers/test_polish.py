"""Polish: a last call that takes away grain, in closed form on a Gaussian, and when a denoiser draws."""

from dataclasses import replace

import pytest
import torch

from helpers.runs import start
from unnoise.diffusion.oracles import Gaussian
from unnoise.diffusion.samplers import polish
from unnoise.diffusion.samplers.sampling import Sampling
from unnoise.diffusion.schedules import LinearBeta, OffsetCosine
from unnoise.utils.errors import UnnoiseError


@pytest.mark.parametrize("level", [0.05, 0.3, 2.0])
def test_deviations_shrink_by_their_signal_to_noise_ratio(level):
    """Of pixels of N(m, s^2) the image that is predicted is m + (x - m) / (1 + level^2 / s^2)."""
    stds = torch.tensor([0.01, 0.1, 1.0]).view(1, 1, 1, 3).double()
    images = 0.4 + stds * torch.randn(50, 1, 4, 3, generator=torch.Generator().manual_seed(0)).double()
    found = polish(images, Gaussian(0.4, stds), level)
    torch.testing.assert_close(found, 0.4 + (images - 0.4) / (1 + level**2 / stds**2), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("schedule", [OffsetCosine(), LinearBeta(100)], ids=["continuous", "discrete"])
@pytest.mark.parametrize("sampler", ["ddim", "heun", "dpmpp_2m_sde"])
def test_only_the_last_images_of_a_walk_are_polished(schedule, sampler):
    plain = Sampling(sampler=sampler, num_steps=5)
    told = Gaussian(0.2, 0.5)

    def walked(sampling):
        draws = torch.Generator().manual_seed(1)
        noises = torch.randn(3, 1, 4, 4, generator=torch.Generator().manual_seed(0))
        fresh = lambda: torch.randn(noises.shape, generator=draws)  # noqa: E731
        return [*sampling.reverse_diffusion(told, noises, schedule, fresh)]

    before, after = walked(plain), walked(replace(plain, polish=0.3))
    assert len(before) == len(after) == 5
    assert plain.calls(schedule) == replace(plain, polish=0.3).calls(schedule)
    for one, other in zip(before[:-1], after[:-1], strict=True):
        assert torch.equal(one.images, other.images)
    assert torch.equal(before[-1].noises, after[-1].noises)
    shrunk = 0.2 + (before[-1].images - 0.2) / (1 + 0.3**2 / 0.5**2)
    torch.testing.assert_close(after[-1].images, shrunk, rtol=1e-5, atol=1e-6)


def test_polished_images_carry_no_gradient():
    scale = torch.ones((), requires_grad=True)
    told = Gaussian(0.2, 0.5)

    def denoise(images, noise_rates, signal_rates):
        return told(scale * images, noise_rates, signal_rates)

    noises = torch.randn(2, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    *_, last = Sampling(num_steps=3, polish=0.3).reverse_diffusion(denoise, noises, OffsetCosine())
    assert not last.images.requires_grad


def test_the_polish_is_not_guided():
    noises = torch.randn(3, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    sampling, wild = Sampling(num_steps=4, polish=0.5), Gaussian(5.0, 1.0)
    *_, last = sampling.reverse_diffusion(wild, noises, OffsetCosine(), unguided=Gaussian(0.0, 1e-6))
    assert last.images.abs().max() < 1e-6


def test_a_denoiser_draws_polished_pictures(tmp_path):
    denoiser = start(tmp_path / "run").config.denoiser()
    plain = Sampling(num_steps=4)
    before = denoiser.generate(5, sampling=plain)
    after = denoiser.generate(5, sampling=replace(plain, polish=0.2), batch_size=2)
    with torch.no_grad():
        found = polish(denoiser.normalizer.normalize(before), denoiser.denoise_for(None), 0.2)
    torch.testing.assert_close(after, denoiser.normalizer.denormalize(found), rtol=1e-4, atol=1e-5)
    assert (after - before).abs().max() > 1e-3


@pytest.mark.parametrize("level", [-0.1, 81, float("nan")])
def test_levels_out_of_range_are_refused(level):
    with pytest.raises(UnnoiseError, match="Polish is a noise / signal from 0"):
        Sampling(polish=level)
