"""The noise levels of training are spread as they say, and every image has its own."""

import math

import pytest
import torch
from scipy import stats

from unnoise.diffusion.noise_levels import LogNormal, UniformPower, UniformTimes, uniform
from unnoise.diffusion.schedules import OffsetCosine, RatePair, log_snr
from unnoise.utils.errors import UnnoiseError


def draw(levels, count=20_000):
    return RatePair(*levels.draw(count, OffsetCosine(), torch.Generator().manual_seed(0))[:2])


@pytest.mark.row("T1")
def test_times_are_uniform_one_for_each_image():
    times = uniform(20_000, torch.Generator().manual_seed(0), stratified=False)
    assert times.shape == (20_000, 1, 1, 1)
    assert len(times.unique()) > 19_900
    assert stats.kstest(times.flatten().numpy(), "uniform").pvalue > 0.01


def test_stratified_times_cover_each_slice_once_and_stay_uniform():
    generator = torch.Generator().manual_seed(0)
    batches = torch.stack([uniform(50, generator, stratified=True).flatten() for _ in range(400)])
    assert ((batches * 50).floor() == torch.arange(50.0)).all()
    assert stats.kstest(batches.flatten().numpy(), "uniform").pvalue > 0.01
    assert batches.mean(1).std() < 0.01 < uniform(50, generator, stratified=False).std() / math.sqrt(50)


@pytest.mark.row("T1")
def test_uniform_times_go_through_the_schedule():
    rates = draw(UniformTimes())
    times = uniform(20_000, torch.Generator().manual_seed(0), stratified=False)
    assert torch.equal(rates.noise_rates, OffsetCosine()(times).noise_rates)


@pytest.mark.row("S8")
def test_noise_power_is_flat():
    noise_rates, signal_rates = draw(UniformPower())
    power = noise_rates.square().flatten()
    assert stats.kstest(power.numpy(), "uniform").pvalue > 0.01
    torch.testing.assert_close(power, 1 - signal_rates.flatten().square(), atol=1e-6, rtol=0)


@pytest.mark.parametrize("stratified", [False, True])
def test_log_normal_is_edms(stratified):
    log_sigma = -log_snr(*draw(LogNormal(-0.5, 1.2, stratified))).flatten() / 2
    assert torch.isfinite(log_sigma).all()
    assert stats.kstest(log_sigma.numpy(), "norm", args=(-0.5, 1.2)).pvalue > 0.01


def test_log_normal_needs_a_spread():
    with pytest.raises(UnnoiseError, match="std is above 0"):
        LogNormal(0.0, 0.0)


def test_a_generator_decides_alone():
    torch.rand(3)
    assert torch.equal(draw(LogNormal(), 5).noise_rates, draw(LogNormal(), 5).noise_rates)
