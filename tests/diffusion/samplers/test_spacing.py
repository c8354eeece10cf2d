"""Grids end where they say, are even in what they say, and stay on a chain's own steps."""

import math

import pytest
import torch

from helpers.oracles import column
from unnoise.diffusion.samplers import SIGMA_MAX, SIGMA_MIN, time_grid, times_of
from unnoise.diffusion.schedules import (
    Cosine,
    CosineBeta,
    CosinePower,
    LinearBeta,
    LogSNRLinear,
    OffsetCosine,
    RectifiedFlow,
    SignalStep,
    ZeroTerminalSNR,
)
from unnoise.utils.errors import UnnoiseError

WITH_ENDS = (OffsetCosine(0.02, 0.95), LogSNRLinear(3, -8), SignalStep(3, -8), CosinePower(4, -8))
WITHOUT = (Cosine(), RectifiedFlow(), OffsetCosine(0.001, 1.0))  # noise 0 at t = 0; the start is above r = 80
CHAINS = (LinearBeta(1000), LinearBeta(50), CosineBeta(200), ZeroTerminalSNR(base=LinearBeta(100)))
RATIO_SPACINGS = ("log_snr", "karras")


def ratios(times, schedule):
    grid = time_grid(len(times) - 1, schedule, times)
    return (grid.noise_rates / grid.signal_rates).flatten()


def bent(values, spacing):
    return values.log() if spacing == "log_snr" else values ** (1 / 7)


@pytest.mark.parametrize("schedule", WITH_ENDS)
@pytest.mark.parametrize("spacing", RATIO_SPACINGS)
@pytest.mark.parametrize("num_steps", [1, 2, 7, 40])
def test_even_from_the_schedules_start_to_its_end(schedule, spacing, num_steps):
    times = times_of(spacing, num_steps, schedule)
    assert times.dtype == torch.float64
    assert len(times) == num_steps + 1
    assert (float(times[0]), float(times[-1])) == (1, 0)
    steps = bent(ratios(times, schedule), spacing).diff()
    torch.testing.assert_close(steps, steps.mean().expand(num_steps), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("schedule", WITHOUT)
@pytest.mark.parametrize("spacing", RATIO_SPACINGS)
@pytest.mark.parametrize("num_steps", [2, 3, 18])
def test_schedules_without_noise_at_the_end_are_left_from_sigma_min(schedule, spacing, num_steps):
    """EDM's grid: so many levels from 80 to 0.002, and 0 after them."""
    found = ratios(times_of(spacing, num_steps, schedule), schedule)
    ends = torch.tensor([SIGMA_MAX, SIGMA_MIN], dtype=torch.float64)
    first, last = bent(ends, spacing).tolist()
    line = torch.linspace(first, last, num_steps, dtype=torch.float64)
    torch.testing.assert_close(bent(found[:-1], spacing), line, rtol=1e-9, atol=1e-9)
    assert found[-1] == 0
    assert times_of(spacing, 1, schedule)[-1] == 0


def test_karras_by_hand():
    """2206.00364, eq. 5, with N = 5, on r = tan(pi t / 2)."""
    by_hand = [(80 ** (1 / 7) + place / 4 * (0.002 ** (1 / 7) - 80 ** (1 / 7))) ** 7 for place in range(5)]
    times = times_of("karras", 5, Cosine())
    assert times.tolist() == pytest.approx([2 / math.pi * math.atan(r) for r in by_hand] + [0], rel=1e-11)


@pytest.mark.parametrize("schedule", [*WITH_ENDS, *WITHOUT])
@pytest.mark.parametrize("spacing", ["uniform", "trailing", "leading", "linspace"])
def test_the_others_are_uniform_without_a_chain(schedule, spacing):
    assert times_of(spacing, 4, schedule).tolist() == [1, 0.75, 0.5, 0.25, 0]


@pytest.mark.parametrize("schedule", CHAINS)
@pytest.mark.parametrize("spacing", ["uniform", "trailing", "leading", "linspace", *RATIO_SPACINGS])
@pytest.mark.parametrize("num_steps", [1, 2, 9, 33, 50])
def test_a_chain_is_sampled_at_its_own_steps_each_once(schedule, spacing, num_steps):
    times = times_of(spacing, num_steps, schedule)
    assert len(times) == num_steps + 1
    assert times[-1] == 0
    steps = times[:-1] * schedule.num_timesteps - 1
    torch.testing.assert_close(steps, steps.round(), rtol=0, atol=1e-9)
    assert (times.diff() < 0).all()
    assert 0 <= steps[-1] <= steps[0] < schedule.num_timesteps
    if spacing in ("uniform", "trailing"):
        assert torch.equal(times, schedule.times(num_steps, "trailing"))


@pytest.mark.parametrize("spacing", RATIO_SPACINGS)
def test_a_chain_of_many_steps_comes_near_to_the_grid(spacing):
    """With few of 1000 steps, each is the nearest in log-SNR: no other of the table lies nearer."""
    schedule = LinearBeta(1000)
    found = ratios(times_of(spacing, 6, schedule), schedule)[:-1].log()
    table = ((1 - schedule.alphas_cumprod) / schedule.alphas_cumprod).log() / 2
    first, last = bent(torch.tensor([SIGMA_MAX, float(table[0].exp())]).double(), spacing).tolist()
    wanted = torch.linspace(first, last, 6, dtype=torch.float64)
    wanted = wanted if spacing == "log_snr" else 7 * wanted.log()
    nearest = (table[:, None] - wanted).abs().min(dim=0).values
    torch.testing.assert_close((found - wanted).abs(), nearest, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("schedule", CHAINS[1:])
@pytest.mark.parametrize("spacing", RATIO_SPACINGS)
def test_as_many_steps_as_a_chain_has_are_all_of_them(schedule, spacing):
    total = schedule.num_timesteps
    torch.testing.assert_close(times_of(spacing, total, schedule), schedule.times(total))


@pytest.mark.parametrize("spacing", ["uniform", "leading", *RATIO_SPACINGS])
def test_bad_numbers_of_steps(spacing):
    for schedule in (OffsetCosine(), LinearBeta(50)):
        with pytest.raises(UnnoiseError, match="at least 1 step, but got 0"):
            times_of(spacing, 0, schedule)
    with pytest.raises(UnnoiseError, match="50 timesteps is sampled in 1 to 50 steps, but got 51"):
        times_of(spacing, 51, LinearBeta(50))


def test_the_rates_at_the_times_are_the_schedules_own():
    grid = time_grid(3, OffsetCosine(), times_of("log_snr", 3, OffsetCosine()))
    noise, signal = OffsetCosine()(column(1, 0, dtype=torch.float64))
    torch.testing.assert_close(grid.noise_rates[[0, -1]], noise)
    torch.testing.assert_close(grid.signal_rates[[0, -1]], signal)
