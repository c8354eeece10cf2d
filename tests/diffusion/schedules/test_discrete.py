"""Discrete schedules: known tables, the closed form against single steps, timesteps, bad arguments."""

import itertools

import numpy as np
import pytest
import torch

from helpers.sampling import column
from unnoise.diffusion.schedules import (
    CosineBeta,
    LinearBeta,
    OffsetCosine,
    QuadraticBeta,
    SigmoidAlphaBar,
    SigmoidBeta,
    ZeroTerminalSNR,
    log_snr,
)
from unnoise.utils.errors import UnnoiseError

CHAINS = [kind(T) for T in (50, 200, 1000) for kind in (LinearBeta, QuadraticBeta, SigmoidBeta, CosineBeta)]
CHAINS += [SigmoidAlphaBar(1000), SigmoidAlphaBar(64), ZeroTerminalSNR(base=LinearBeta(200)), ZeroTerminalSNR()]


def posterior_variances(schedule):
    powers = schedule.alphas_cumprod
    before = torch.cat([torch.ones(1, dtype=powers.dtype), powers[:-1]])
    return schedule.betas * (1 - before) / (1 - powers)


@pytest.mark.row("H1", "H2", "H21")
@pytest.mark.parametrize(
    ("schedule", "first", "last", "end", "posterior"),
    [
        (LinearBeta(200, rescale=False), 1e-4, 0.02, 0.1321828, 6.667111e-5),
        (LinearBeta(300, rescale=False), 1e-4, 0.02, 0.0480584, 6.248822e-5),
        (LinearBeta(1000), 1e-4, 0.02, 4.0358298e-5, 5.4531877e-5),
        (LinearBeta(200), 5e-4, 0.1, 3.0318e-5, 3.334445e-4),
        (CosineBeta(200, 1e-4, 0.9999), 2.5497264e-4, 0.9999, 6.0718e-9, 1.5202876e-4),
        (CosineBeta(1000), 4.1284225e-5, 0.999, 2.42877e-9, 2.1789496e-5),
        (SigmoidBeta(1000), 1.4920520e-4, 0.0199508, 3.96818e-5, 7.4756e-5),
        (SigmoidAlphaBar(1000), 3.0027920e-4, 0.999, 3.00279e-7, 1.505923e-4),
        (QuadraticBeta(200, rescale=False), 1e-4, 0.02, 0.2355284, 5.3196e-5),
    ],
    ids=repr,
)
def test_tables_have_known_values(schedule, first, last, end, posterior):
    assert schedule.betas.dtype == torch.float64
    found = (
        schedule.betas[0],
        schedule.betas[-1],
        schedule.alphas_cumprod[-1],
        posterior_variances(schedule)[1],
    )
    assert [value.item() for value in found] == pytest.approx([first, last, end, posterior], rel=1e-4)
    assert posterior_variances(schedule)[0] == 0


@pytest.mark.row("H1")
def test_values_at_timestep_500_of_linear_beta():
    schedule, step = LinearBeta(1000), 500
    noise_rates, signal_rates = schedule(column((step + 1) / 1000, dtype=torch.float64))
    power, before = schedule.alphas_cumprod[step], schedule.alphas_cumprod[step - 1]
    beta = schedule.betas[step]
    found = (
        signal_rates.item(),
        noise_rates.item(),
        (signal_rates / noise_rates).square().item(),
        posterior_variances(schedule)[step].item(),
        (before.sqrt() * beta / (1 - power)).item(),
        ((1 - beta).sqrt() * (1 - before) / (1 - power)).item(),
    )
    expected = (0.2789205, 0.9603142, 0.0843595, 0.01005134, 0.003058057, 0.994104351)
    assert found == pytest.approx(expected, rel=1e-6)


@pytest.mark.row("H2")
def test_float32_rates_are_those_of_the_float64_table():
    for schedule in CHAINS:
        steps = torch.arange(1, schedule.num_timesteps + 1)
        rates = schedule((steps / schedule.num_timesteps).view(-1, 1, 1, 1))
        assert rates.signal_rates.dtype == torch.float32
        np.testing.assert_allclose(
            rates.signal_rates.flatten().double() ** 2, schedule.alphas_cumprod, rtol=1e-6, atol=1e-12
        )


@pytest.mark.row("H3")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("schedule", CHAINS, ids=repr)
def test_each_timestep_follows_from_its_time_and_from_its_rates(schedule, dtype):
    total = schedule.num_timesteps
    times = (torch.arange(1, total + 1, dtype=dtype) / total).view(-1, 1, 1, 1)
    rates = schedule(times)
    assert torch.equal(schedule.timesteps_of(*rates).flatten(), torch.arange(total, dtype=dtype))
    order = torch.randperm(total)
    assert torch.equal(schedule(times[order]).noise_rates, rates.noise_rates[order])  # pointwise
    assert [rate.item() for rate in schedule(column(0, dtype=dtype))] == [0, 1]
    assert (log_snr(*rates).diff(dim=0) < 0).all()
    inside = schedule(times - 0.5 / total)  # between two timesteps
    assert torch.equal(inside.noise_rates, rates.noise_rates)


@pytest.mark.row("H4")
@pytest.mark.parametrize("schedule", [LinearBeta(200), CosineBeta(50), SigmoidAlphaBar(64)], ids=repr)
def test_the_closed_form_equals_single_forward_steps(schedule):
    """Mean and variance of x_k from x_{k-1}: scale by sqrt(1 - beta), add variance beta."""
    mean, variance = 1.0, 0.0
    for step, beta in enumerate(schedule.betas.tolist()):
        mean, variance = (1 - beta) ** 0.5 * mean, (1 - beta) * variance + beta
        noise, signal = (
            rate.item() for rate in schedule(column((step + 1) / schedule.num_timesteps, dtype=torch.float64))
        )
        assert (signal, noise**2) == pytest.approx((mean, variance), rel=1e-9)


@pytest.mark.row("H1")
def test_cosine_beta_equals_its_formula():
    times = np.arange(1001) / 1000
    power = np.cos((times + 0.008) / 1.008 * np.pi / 2) ** 2
    np.testing.assert_allclose(CosineBeta(1000).alphas_cumprod[:-1], (power / power[0])[1:-1], rtol=1e-9)


@pytest.mark.row("H1", "H21")
def test_rescaled_betas_end_in_noise_and_unscaled_ones_do_not():
    """Without rescaling, T = 200 and 300 leave signal rates of 0.36 and 0.22 at the last timestep."""
    for total, left in ((200, 0.3636), (300, 0.2192)):
        assert LinearBeta(total, rescale=False).alphas_cumprod[-1].sqrt().item() == pytest.approx(
            left, abs=1e-4
        )
        assert LinearBeta(total).alphas_cumprod[-1].sqrt() < 0.006


def test_zero_terminal_snr_is_algorithm_1_of_its_paper():
    """2305.08891: the first timestep is unchanged, the last has no signal."""
    base = LinearBeta(1000)
    roots = base.alphas_cumprod.sqrt()
    first, last = roots[0].clone(), roots[-1].clone()
    expected = ((roots - last) * first / (first - last)) ** 2
    found = ZeroTerminalSNR(base=base)
    torch.testing.assert_close(found.alphas_cumprod, expected)
    assert found.alphas_cumprod[-1] == 0
    assert found.alphas_cumprod[0].item() == pytest.approx(base.alphas_cumprod[0].item(), rel=1e-12)
    assert found.num_timesteps == 1000


def test_timesteps_of_each_spacing():
    schedule = LinearBeta(1000)
    assert schedule.timesteps(4).tolist() == [999, 749, 499, 249]
    assert schedule.timesteps(4, "leading").tolist() == [750, 500, 250, 0]
    assert schedule.timesteps(5, "linspace").tolist() == [999, 749, 500, 250, 0]
    for spacing in ("trailing", "leading", "linspace"):
        assert schedule.timesteps(1000, spacing).tolist() == list(range(999, -1, -1))
        for num_steps in (1, 3, 7, 333):
            assert (schedule.timesteps(num_steps, spacing).diff() < 0).all()
        times = schedule.times(7, spacing)
        rates = schedule(times.view(-1, 1, 1, 1))
        steps = schedule.timesteps_of(*(rate[:-1] for rate in rates)).flatten()
        assert torch.equal(steps.long(), schedule.timesteps(7, spacing))
        assert times[-1] == 0


def test_even_times_are_those_of_trailing():
    times = 1 - torch.arange(21, dtype=torch.float64) / 20
    schedule = LinearBeta(1000)
    for ours, even in zip(
        schedule(schedule.times(20).view(-1, 1, 1, 1)), schedule(times.view(-1, 1, 1, 1)), strict=True
    ):
        assert torch.equal(ours, even)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: CosineBeta(1), "at least 2 timesteps"),
        (lambda: SigmoidAlphaBar(0), "at least 2 timesteps"),
        (lambda: LinearBeta(0), "more timesteps"),
        (lambda: LinearBeta(10), "last beta below 1"),
        (lambda: LinearBeta(1000, 0.02, 1e-4), "first_beta <= last_beta"),
        (lambda: CosineBeta(1000, 0.5, 0.1), "smallest_beta < largest_beta"),
        (lambda: CosineBeta(1000, offset=-1), "offset is at least 0"),
        (lambda: SigmoidAlphaBar(1000, start=3, end=-3), "start < end"),
        (lambda: SigmoidAlphaBar(1000, tau=0), "tau > 0"),
        (lambda: LinearBeta(50).timesteps(51), "sampled in 1 to 50 steps, but got 51"),
        (lambda: LinearBeta(50).timesteps(0), "but got 0"),
    ],
)
def test_bad_arguments_raise(make, message):
    with pytest.raises(UnnoiseError, match=message):
        make()


def test_equal_settings_are_equal_schedules():
    for left, right in itertools.combinations(CHAINS[:4], 2):
        assert left != right
    assert LinearBeta(50) == LinearBeta(50) != OffsetCosine()
