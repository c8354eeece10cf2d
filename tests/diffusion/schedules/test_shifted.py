"""Shifted schedules and noise levels: exact shifts of the log-SNR, unit power, identity at 32 pixels."""

import math

import pytest
import torch

from helpers.sampling import column
from unnoise.diffusion.noise_levels import (
    LogNormal,
    LossAware,
    UniformPower,
    UniformTimes,
    shifted_levels,
)
from unnoise.diffusion.samplers import SIGMA_MAX, SIGMA_MIN, spaced_times
from unnoise.diffusion.samplers.sampling import Sampling
from unnoise.diffusion.schedules import (
    Cosine,
    DiscreteSchedule,
    Linear,
    LinearBeta,
    LogSNRLinear,
    OffsetCosine,
    RectifiedFlow,
    SigmoidAlphaBar,
    SignalStep,
    ZeroTerminalSNR,
    log_snr,
    noise_shift_for,
    noise_shift_of,
    shift_rates,
    shifted,
)
from unnoise.utils.errors import UnnoiseError

CONTINUOUS = [
    OffsetCosine(),
    OffsetCosine(0.002, 0.9999),
    Linear(),
    RectifiedFlow(),
    LogSNRLinear(),
    SignalStep(),
]
DISCRETE = [LinearBeta(100), SigmoidAlphaBar(100), LinearBeta(1000)]
TIMES = torch.linspace(0.01, 0.99, 99, dtype=torch.float64).view(-1, 1, 1, 1)
SHIFTS = [0.5, 2.0, 8.0, math.sqrt(24 * 40) / 32]


@pytest.mark.parametrize("noise_shift", SHIFTS)
@pytest.mark.parametrize("schedule", [*CONTINUOUS, *DISCRETE], ids=repr)
def test_a_shift_moves_each_log_snr_by_two_log_s_and_keeps_the_power(schedule, noise_shift):
    noise_rates, signal_rates = shifted(schedule, noise_shift)(TIMES)
    torch.testing.assert_close(noise_rates**2 + signal_rates**2, torch.ones_like(TIMES), atol=1e-14, rtol=0)
    moved = log_snr(noise_rates, signal_rates) - log_snr(*schedule(TIMES))
    torch.testing.assert_close(moved, torch.full_like(moved, -2 * math.log(noise_shift)), atol=1e-9, rtol=0)


@pytest.mark.parametrize(("height", "width"), [(32, 32), (16, 64), (64, 16)])
def test_at_32_pixels_the_shift_is_the_identity_bit_for_bit(height, width):
    assert noise_shift_for(height, width) == 1
    for schedule in (*CONTINUOUS, *DISCRETE):
        assert shifted(schedule, noise_shift_for(height, width)) is schedule
        assert noise_shift_of(schedule) == 1
    for levels in (LogNormal(), UniformPower(), UniformTimes(), LossAware()):
        assert shifted_levels(levels, noise_shift_for(height, width)) is levels


def test_the_shift_by_size_is_the_geometric_mean_of_the_sides_over_32():
    assert [noise_shift_for(side, side) for side in (16, 64, 128, 256)] == [0.5, 2, 4, 8]
    assert noise_shift_for(24, 40) == pytest.approx(math.sqrt(24 * 40) / 32)
    assert noise_shift_for(24, 40) == noise_shift_for(40, 24)


@pytest.mark.parametrize("noise_shift", SHIFTS)
def test_on_rectified_flow_it_is_the_timestep_shift(noise_shift):
    moved = noise_shift * TIMES / (1 + (noise_shift - 1) * TIMES)  # 2403.03206, eq. 23
    for ours, theirs in zip(shifted(RectifiedFlow(), noise_shift)(TIMES), RectifiedFlow()(moved), strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-14, rtol=0)


def test_pictures_scaled_down_to_32_are_as_noisy_as_those_of_32():
    """Flat pictures of 128 x 128, of 4 x 4 averaged pixels: the noise falls by 4, the picture stays."""
    noise_rates, signal_rates = shifted(OffsetCosine(), noise_shift_for(128, 128))(column(0.5))
    noises = torch.randn(16, 3, 128, 128, generator=torch.Generator().manual_seed(0))
    small = torch.nn.functional.avg_pool2d(signal_rates * 0.5 + noise_rates * noises, 4)
    wanted_noise, wanted_signal = OffsetCosine()(column(0.5))
    assert float(small.std() / small.mean()) == pytest.approx(
        float(wanted_noise / wanted_signal) / 0.5, rel=0.02
    )


def test_the_ends_of_a_schedule_without_signal_or_noise_stay():
    noise_rates, signal_rates = shifted(Cosine(), 4.0)(column(0, 1))
    assert noise_rates.flatten().tolist() == [0, 1]
    assert signal_rates.flatten()[0] == 1
    assert signal_rates.flatten()[1] < 1e-7
    assert float(shifted(ZeroTerminalSNR(), 4.0)(column(1)).signal_rates) == 0


@pytest.mark.parametrize("schedule", [*DISCRETE, ZeroTerminalSNR()], ids=repr)
def test_a_shifted_chain_is_a_discrete_schedule_with_its_own_betas(schedule):
    chain = shifted(schedule, 2.0)
    assert isinstance(chain, DiscreteSchedule)
    assert chain.num_timesteps == schedule.num_timesteps
    assert (chain.betas > 0).all()
    assert (chain.betas <= 1).all()
    torch.testing.assert_close((1 - chain.betas).cumprod(0), chain.alphas_cumprod, atol=1e-12, rtol=0)
    steps = torch.arange(1, chain.num_timesteps).view(-1, 1, 1, 1)  # each level is known by its own timestep
    assert torch.equal(chain.timesteps_of(*chain((steps + 1.0) / chain.num_timesteps)), steps.float())
    assert torch.equal(chain.timesteps(10), schedule.timesteps(10))


@pytest.mark.parametrize("spacing", ["log_snr", "karras", "uniform"])
@pytest.mark.parametrize("schedule", [*CONTINUOUS, LinearBeta(1000), Cosine()], ids=repr)
def test_samplers_walk_along_the_shifted_grid(schedule, spacing):
    """Its noise / signal is s times that of the grid without shift, whose limits move along."""
    grids = [Sampling(spacing=spacing, num_steps=12).grid(shifted(schedule, s)) for s in (1, 4.0)]
    plain, moved = ((noise / signal)[:-1].flatten() for noise, signal in grids)
    discrete = isinstance(schedule, DiscreteSchedule)
    wide = moved.isfinite() & (plain < 1e6)  # without the end of a schedule that has no signal there
    torch.testing.assert_close(moved[wide], 4 * plain[wide], rtol=1e-6 if not discrete else 0.02, atol=1e-9)
    if spacing != "uniform":
        assert moved[0] <= 4 * SIGMA_MAX * 1.02
        assert moved[-1] > SIGMA_MIN
        assert len(spaced_times(spacing, 12, shifted(schedule, 4.0))) == 13


@pytest.mark.parametrize("noise_shift", SHIFTS)
def test_log_normal_levels_shift_by_the_logarithm(noise_shift):
    """EDM's ln sigma ~ N(mean, std^2): the mean moves by log s, and the spread stays."""
    drawn, wanted = (
        levels.draw(256, OffsetCosine(), torch.Generator().manual_seed(3))
        for levels in (
            shifted_levels(LogNormal(-0.5, 1.2), noise_shift),
            LogNormal(-0.5 + math.log(noise_shift)),
        )
    )
    torch.testing.assert_close(drawn.noise_rates, wanted.noise_rates, atol=1e-6, rtol=0)
    torch.testing.assert_close(drawn.signal_rates, wanted.signal_rates, atol=1e-6, rtol=0)


@pytest.mark.parametrize("levels", [UniformTimes(), UniformTimes(stratified=True), UniformPower(), LossAware()])
def test_all_noise_levels_of_a_run_shift_together_with_its_schedule(levels):
    plain = levels.draw(64, OffsetCosine(), torch.Generator().manual_seed(5))
    drawn = shifted_levels(levels, 2.0).draw(64, shifted(OffsetCosine(), 2.0), torch.Generator().manual_seed(5))
    wanted = shift_rates(plain.noise_rates, plain.signal_rates, 2.0)
    torch.testing.assert_close((drawn.noise_rates, drawn.signal_rates), tuple(wanted))


@pytest.mark.parametrize("noise_shift", [0.0, -1.0, 1e9, math.nan])
@pytest.mark.parametrize("schedule", [OffsetCosine(), LinearBeta(100)], ids=repr)
def test_a_shift_out_of_range_is_refused(schedule, noise_shift):
    with pytest.raises(UnnoiseError, match=r"The noise shift is from 0\.01 to 1,000"):
        shifted(schedule, noise_shift)
