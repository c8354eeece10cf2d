"""Continuous schedules: squared rates sum to 1, monotone, pointwise, and known values."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from helpers.sampling import column
from unnoise.diffusion.schedules import (
    Cosine,
    CosinePower,
    Linear,
    LinearPower,
    LogNoise,
    LogSignal,
    LogSNRLinear,
    LogSNRSchedule,
    NoiseStep,
    OffsetCosine,
    SignalStep,
    log_snr,
    rates_of_log_snr,
)
from unnoise.utils.errors import UnnoiseError

FAMILY = [LinearPower, CosinePower, LogSNRLinear, LogNoise, LogSignal, NoiseStep, SignalStep]
SCHEDULES = [OffsetCosine(), OffsetCosine(0.002, 0.9999), Cosine(), Linear(), *(kind() for kind in FAMILY)]
GRID = torch.linspace(0, 1, 101).view(-1, 1, 1, 1)


@pytest.mark.row("S1")
def test_offset_cosine_has_the_values_of_the_book():
    times = column(0, 0.25, 0.5, 0.75, 1, dtype=torch.float64)
    noise_rates, signal_rates = OffsetCosine()(times)
    noise = [0.3122498999, 0.5858018358, 0.8041105159, 0.9465886332, 0.9997999800]
    signal = [0.95, 0.8104543227, 0.5944798383, 0.3224437308, 0.02]
    variance = [0.0975, 0.3431637909, 0.6465937218, 0.8960300405, 0.9996]
    np.testing.assert_allclose(noise_rates.flatten(), noise, atol=1e-9)
    np.testing.assert_allclose(signal_rates.flatten(), signal, atol=1e-9)
    np.testing.assert_allclose(noise_rates.flatten() ** 2, variance, atol=1e-9)
    snr = log_snr(noise_rates, signal_rates).flatten()
    assert snr[0] == pytest.approx(2.225316, abs=1e-6)
    assert snr[-1] == pytest.approx(-7.823646, abs=1e-6)


@pytest.mark.row("S2")
def test_mean_noise_variance_of_uniform_times():
    times = torch.rand(200_000, 1, 1, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    variance = OffsetCosine()(times).noise_rates.square().flatten()
    standard_error = variance.std() / math.sqrt(len(variance))
    assert abs(variance.mean() - 0.6121609) < 3 * standard_error


@pytest.mark.row("S1", "S3", "S4", "S7")
@pytest.mark.parametrize("schedule", SCHEDULES, ids=repr)
def test_squared_rates_sum_to_one_and_the_signal_falls(schedule):
    noise_rates, signal_rates = schedule(GRID)
    torch.testing.assert_close(noise_rates**2 + signal_rates**2, torch.ones_like(GRID), atol=3e-7, rtol=0)
    assert (noise_rates.diff(dim=0) >= 0).all()
    assert (signal_rates.diff(dim=0) <= 0).all()
    assert (signal_rates >= 0).all()
    assert log_snr(noise_rates, signal_rates).diff(dim=0).lt(0).all()


@pytest.mark.row("S4")
@pytest.mark.parametrize("schedule", SCHEDULES, ids=repr)
def test_rates_do_not_depend_on_the_rest_of_the_batch(schedule):
    times = torch.rand(64, 1, 1, 1)
    order = torch.randperm(64)
    together = schedule(times)
    for rates, shuffled in zip(together, schedule(times[order]), strict=True):
        assert torch.equal(rates[order], shuffled)
    alone = [schedule(time.view(1, 1, 1, 1)).noise_rates for time in times]
    torch.testing.assert_close(torch.cat(alone), together.noise_rates, atol=1e-6, rtol=1e-6)


@pytest.mark.row("S6")
def test_the_noise_rate_is_the_first_field_of_a_rate_pair():
    pair = Cosine()(column(0.1))
    assert pair._fields == ("noise_rates", "signal_rates")
    assert pair.noise_rates < pair.signal_rates


@pytest.mark.row("S3")
def test_cosine_ends_without_signal():
    noise_rates, signal_rates = Cosine()(column(0, 0.5, 1))
    torch.testing.assert_close(noise_rates.flatten(), torch.tensor([0, math.sqrt(0.5), 1]))
    assert signal_rates[-1] < 1e-6


@pytest.mark.row("S4")
def test_linear_is_the_continuous_limit_of_the_discrete_betas():
    noise_rates, signal_rates = Linear()(column(0, 1, dtype=torch.float64))
    assert noise_rates[0] == 0
    assert signal_rates[1] ** 2 == pytest.approx(4.3186e-5, rel=1e-4)
    # cumprod(1 - beta_i) with beta from 1e-4 to 0.02: the integral agrees to the step width
    betas = np.linspace(1e-4, 0.02, 1000)
    middle = Linear()(column(0.5, dtype=torch.float64)).signal_rates.item() ** 2
    assert middle == pytest.approx(np.cumprod(1 - betas)[499], rel=1e-2)


@pytest.mark.row("S5")
@pytest.mark.parametrize(
    ("kind", "arguments"),
    [
        (OffsetCosine, (0.0, 0.95)),
        (OffsetCosine, (0.5, 0.5)),
        (OffsetCosine, (0.02, 1.01)),
        (OffsetCosine, (float("nan"), 0.95)),
        (Linear, (0.0, 20.0)),
        (Linear, (20.0, 0.1)),
        *((kind, (-10.0, 3.0)) for kind in FAMILY),
        (SignalStep, (float("inf"), 0.0)),
        (SignalStep, (3.0, float("nan"))),
        (LogNoise, (800.0, -10.0)),
    ],
)
def test_parameters_out_of_range_raise(kind, arguments):
    with pytest.raises(UnnoiseError, match=r"needs .* but got"):
        kind(*arguments)


@pytest.mark.row("S7")
@pytest.mark.parametrize("kind", FAMILY)
@pytest.mark.parametrize(("start", "end"), [(3.0, -10.0), (2.5, -7.5)])
def test_log_snr_schedules_have_the_given_log_snr_at_both_ends(kind, start, end):
    ends = kind(start, end)(column(0, 1, dtype=torch.float64))
    np.testing.assert_allclose(log_snr(*ends).flatten(), [start, end], rtol=1e-6)


@pytest.mark.row("S7")
@pytest.mark.parametrize("kind", FAMILY)
def test_log_snr_schedules_are_accurate_in_float32_at_extreme_log_snr(kind):
    """Where 1 - p computed directly would be 0 or inaccurate."""
    ends = kind(20.0, -20.0)(column(0, 1))
    np.testing.assert_allclose(log_snr(*ends).flatten(), [20, -20], rtol=1e-4)


@pytest.mark.row("S7")
def test_log_snr_schedules_equal_their_formulas_between_the_ends():
    first, last = 1 / (1 + math.exp(3)), 1 / (1 + math.exp(-10))
    expected = {
        LinearPower: first + 0.3 * (last - first),
        CosinePower: math.sin(
            math.asin(math.sqrt(first)) + 0.3 * (math.asin(math.sqrt(last)) - math.asin(math.sqrt(first)))
        )
        ** 2,
        LogSNRLinear: 1 / (1 + math.exp(0.7 * 3 + 0.3 * -10)),
        LogNoise: first * (last / first) ** 0.3,
        LogSignal: 1 - (1 - first) * ((1 - last) / (1 - first)) ** 0.3,
        NoiseStep: last * (first / last) ** (0.7**2),
        SignalStep: 1 - (1 - first) * ((1 - last) / (1 - first)) ** (0.3**2),
    }
    for kind, power in expected.items():
        rates = kind(3.0, -10.0)(column(0.3, dtype=torch.float64))
        assert rates.noise_rates.item() ** 2 == pytest.approx(power, rel=1e-9), kind


@pytest.mark.row("S7")
def test_the_abstract_log_snr_schedule_can_not_be_made():
    with pytest.raises(TypeError, match="abstract"):
        LogSNRSchedule()


@given(st.floats(-15, 15))
def test_rates_of_log_snr_is_the_inverse_of_log_snr(value):
    rates = rates_of_log_snr(column(value, dtype=torch.float64))
    assert log_snr(*rates).item() == pytest.approx(value, abs=1e-6)
