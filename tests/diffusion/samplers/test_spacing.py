"""Time spacings: even in their variable, with the right ends, and on the timesteps of discrete schedules."""

import math

import pytest
import torch

from helpers.sampling import column
from unnoise.diffusion.samplers import SIGMA_MAX, SIGMA_MIN, spaced_times, time_grid
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
def test_log_snr_and_karras_are_even_from_the_start_of_the_schedule_to_its_end(schedule, spacing, num_steps):
    times = spaced_times(spacing, num_steps, schedule)
    assert times.dtype == torch.float64
    assert len(times) == num_steps + 1
    assert (float(times[0]), float(times[-1])) == (1, 0)
    steps = bent(ratios(times, schedule), spacing).diff()
    torch.testing.assert_close(steps, steps.mean().expand(num_steps), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("schedule", [*WITHOUT, LinearBeta(1000)])
@pytest.mark.parametrize("spacing", RATIO_SPACINGS)
@pytest.mark.parametrize("num_steps", [1, 2, 4])
def test_jumps_waste_no_step_on_a_level_that_is_nearly_without_noise(schedule, spacing, num_steps):
    """Each jump leads to the image: on every schedule the levels are those of a walk of one step more."""
    found = ratios(spaced_times(spacing, num_steps, schedule, jumps=True), schedule)
    longer = ratios(spaced_times(spacing, num_steps + 1, schedule), schedule)
    assert found[-1] == 0
    torch.testing.assert_close(found[:-1], longer[:num_steps], rtol=0.05, atol=0)
    if num_steps == 2 and spacing == "karras":
        assert 1 < found[1] < 10


@pytest.mark.parametrize("schedule", WITH_ENDS)
@pytest.mark.parametrize("spacing", RATIO_SPACINGS)
def test_on_schedules_that_end_with_noise_jumps_begin_where_steps_do(schedule, spacing):
    plain, jumps = (spaced_times(spacing, 3, schedule, jumps=each) for each in (False, True))
    assert torch.equal(plain, jumps)


@pytest.mark.parametrize("schedule", WITHOUT)
@pytest.mark.parametrize("spacing", RATIO_SPACINGS)
@pytest.mark.parametrize("num_steps", [2, 3, 18])
def test_on_schedules_that_end_without_noise_the_last_but_one_level_is_sigma_min(schedule, spacing, num_steps):
    """EDM's grid: levels from 80 to 0.002, and then 0."""
    found = ratios(spaced_times(spacing, num_steps, schedule), schedule)
    ends = torch.tensor([SIGMA_MAX, SIGMA_MIN], dtype=torch.float64)
    first, last = bent(ends, spacing).tolist()
    line = torch.linspace(first, last, num_steps, dtype=torch.float64)
    torch.testing.assert_close(bent(found[:-1], spacing), line, rtol=1e-9, atol=1e-9)
    assert found[-1] == 0
    assert spaced_times(spacing, 1, schedule)[-1] == 0


def test_karras_is_edms_equation_5():
    """2206.00364, eq. 5, with N = 5, on r = tan(pi t / 2)."""
    by_hand = [(80 ** (1 / 7) + place / 4 * (0.002 ** (1 / 7) - 80 ** (1 / 7))) ** 7 for place in range(5)]
    times = spaced_times("karras", 5, Cosine())
    assert times.tolist() == pytest.approx([2 / math.pi * math.atan(r) for r in by_hand] + [0], rel=1e-11)


@pytest.mark.parametrize("schedule", [*WITH_ENDS, *WITHOUT])
@pytest.mark.parametrize("spacing", ["uniform", "trailing", "leading", "linspace"])
def test_timestep_spacings_are_uniform_on_continuous_schedules(schedule, spacing):
    assert spaced_times(spacing, 4, schedule).tolist() == [1, 0.75, 0.5, 0.25, 0]


@pytest.mark.parametrize("schedule", CHAINS)
@pytest.mark.parametrize("spacing", ["uniform", "trailing", "leading", "linspace", *RATIO_SPACINGS])
@pytest.mark.parametrize("num_steps", [1, 2, 9, 33, 50])
def test_on_discrete_schedules_every_time_is_that_of_another_timestep(schedule, spacing, num_steps):
    times = spaced_times(spacing, num_steps, schedule)
    assert len(times) == num_steps + 1
    assert times[-1] == 0
    steps = times[:-1] * schedule.num_timesteps - 1
    torch.testing.assert_close(steps, steps.round(), rtol=0, atol=1e-9)
    assert (times.diff() < 0).all()
    assert 0 <= steps[-1] <= steps[0] < schedule.num_timesteps
    if spacing in ("uniform", "trailing"):
        assert torch.equal(times, schedule.times(num_steps, "trailing"))


@pytest.mark.parametrize("spacing", RATIO_SPACINGS)
def test_on_a_discrete_schedule_the_nearest_timesteps_are_taken(spacing):
    """With few of 1,000 timesteps, each is the nearest in log-SNR."""
    schedule = LinearBeta(1000)
    found = ratios(spaced_times(spacing, 6, schedule), schedule)[:-1].log()
    table = ((1 - schedule.alphas_cumprod) / schedule.alphas_cumprod).log() / 2
    first, last = bent(torch.tensor([SIGMA_MAX, float(table[0].exp())]).double(), spacing).tolist()
    wanted = torch.linspace(first, last, 6, dtype=torch.float64)
    wanted = wanted if spacing == "log_snr" else 7 * wanted.log()
    nearest = (table[:, None] - wanted).abs().min(dim=0).values
    torch.testing.assert_close((found - wanted).abs(), nearest, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("schedule", CHAINS[1:])
@pytest.mark.parametrize("spacing", RATIO_SPACINGS)
def test_as_many_steps_as_timesteps_are_all_timesteps(schedule, spacing):
    total = schedule.num_timesteps
    torch.testing.assert_close(spaced_times(spacing, total, schedule), schedule.times(total))


@pytest.mark.parametrize("spacing", ["uniform", "leading", *RATIO_SPACINGS])
def test_too_few_and_too_many_steps_raise(spacing):
    for schedule in (OffsetCosine(), LinearBeta(50)):
        with pytest.raises(UnnoiseError, match="at least 1 step, but got 0"):
            spaced_times(spacing, 0, schedule)
    with pytest.raises(UnnoiseError, match="50 timesteps is sampled in 1 to 50 steps, but got 51"):
        spaced_times(spacing, 51, LinearBeta(50))


def test_the_grid_has_the_schedules_rates_at_both_ends():
    grid = time_grid(3, OffsetCosine(), spaced_times("log_snr", 3, OffsetCosine()))
    noise, signal = OffsetCosine()(column(1, 0, dtype=torch.float64))
    torch.testing.assert_close(grid.noise_rates[[0, -1]], noise)
    torch.testing.assert_close(grid.signal_rates[[0, -1]], signal)
