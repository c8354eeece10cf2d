"""Each sampler comes as fast to the exact flow as it claims, and the random ones to the right distribution."""

from functools import partial

import numpy as np
import pytest
import torch

from helpers.oracles import Gaussian, Mixture, last
from unnoise.diffusion.samplers import (
    Churn,
    ancestral,
    ddim,
    dpm_solver,
    euler,
    heun,
    multistep,
    rates_at,
    second_order,
    time_grid,
    times_of,
)
from unnoise.diffusion.schedules import (
    Cosine,
    LinearBeta,
    LogSNRLinear,
    OffsetCosine,
    RectifiedFlow,
    ZeroTerminalSNR,
)
from unnoise.diffusion.tensors import mix
from unnoise.utils.errors import UnnoiseError

NOISES = torch.randn(2, 1, 3, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
SCHEDULE = LogSNRLinear(2, -8)  # almost nothing but noise at the start, and some left at the end
STEPS = (80, 160)
ORDERS = {
    "ddim": (ddim, 1),
    "euler": (euler, 1),
    "heun": (heun, 2),
    "second_order": (second_order, 2),
    "1M": (partial(dpm_solver, order=1), 1),
    "2M": (dpm_solver, 2),
    "3M": (partial(dpm_solver, order=3), 3),
}


def walked(sampler, oracle, num_steps, spacing="log_snr", schedule=SCHEDULE, noises=NOISES, **options):
    """X at the end of the grid, and the rates at both ends."""
    times = times_of(spacing, num_steps, schedule)
    prediction = last(sampler(oracle, noises, num_steps, schedule, times=times, **options))
    grid = time_grid(num_steps, schedule, times)
    first, end = (rates_at(grid, step, noises) for step in (0, num_steps))
    return mix(prediction.images, prediction.noises, *end), first, end


def order_of_convergence(sampler, oracle, spacing="log_snr"):
    errors = []
    for steps in STEPS:
        arrived, first, end = walked(sampler, oracle, steps, spacing)
        errors.append((arrived - oracle.flow(NOISES, first, end)).abs().max().item())
    return -np.polyfit(np.log(STEPS), np.log(errors), 1)[0]


@pytest.mark.parametrize("oracle", [Gaussian(0.3, 0.5), Mixture()], ids=["Gaussian", "Mixture"])
@pytest.mark.parametrize("name", ORDERS)
def test_orders_of_convergence(name, oracle):
    sampler, order = ORDERS[name]
    assert order_of_convergence(sampler, oracle) == pytest.approx(order, abs=0.2)


@pytest.mark.parametrize("name", ["euler", "2M", "3M"])
def test_orders_on_the_grid_of_karras(name):
    sampler, order = ORDERS[name]
    assert order_of_convergence(sampler, Mixture(), "karras") == pytest.approx(order, abs=0.2)


def test_half_the_curvature_costs_the_third_order():
    """As published, 3M's D_2 is the second divided difference; the second derivative is twice that."""
    published = partial(dpm_solver, order=3, published=True)
    assert order_of_convergence(published, Mixture()) == pytest.approx(2, abs=0.2)


def test_the_flow_of_the_mixture_is_the_one_that_its_denoiser_follows():
    """The oracle's oracle: quantiles that stay, against very fine steps along dy / dr = eps."""
    arrived, first, end = walked(partial(dpm_solver, order=3), Mixture(), 200)
    torch.testing.assert_close(arrived, Mixture().flow(NOISES, first, end), rtol=0, atol=1e-5)
    one = Mixture((0.3,), (0.5,), (1.0,))
    torch.testing.assert_close(one.flow(NOISES, first, end), Gaussian(0.3, 0.5).flow(NOISES, first, end))


# --- the random ones -----------------------------------------------------------------------------------------


def moments(sampler, num_steps, schedule=SCHEDULE, mean=0.3, std=0.5):
    """The errors of mean and variance at the end, without a random number.

    The Gaussian's denoiser is affine, and so is the walk: walks of one unit at the start, or in one of its
    draws, and nothing else, tell how much of each the result holds.
    """
    starts = torch.zeros(num_steps + 2, 1, 1, 1, dtype=torch.float64)
    starts[1] = 1
    places = iter(range(2, num_steps + 2))

    def draw():
        unit = torch.zeros_like(starts)
        unit[next(places)] = 1
        return unit

    found, _, end = walked(
        sampler, Gaussian(mean, std), num_steps, noises=starts, schedule=schedule, draw_noises=draw
    )
    noise, signal = (float(rates[0]) for rates in end)
    nothing, *units = found.flatten().tolist()
    variance = sum((unit - nothing) ** 2 for unit in units)
    return abs(nothing - signal * mean), abs(variance - (signal**2 * std**2 + noise**2))


RANDOM = {
    "ancestral": ancestral,
    "ddim, eta 1": partial(ddim, eta=1.0),
    "2M SDE": partial(dpm_solver, order=2, eta=1.0),
    "3M SDE": partial(dpm_solver, order=3, eta=1.0),
    "3M SDE as published": partial(dpm_solver, order=3, eta=1.0, published=True),
    "2M, eta 1/2": partial(dpm_solver, order=2, eta=0.5),
    "Euler with churn": partial(euler, churn=Churn(amount=10)),
    "Heun with churn": partial(heun, churn=Churn(amount=10)),
}


@pytest.mark.parametrize("name", RANDOM)
def test_the_random_ones_have_the_right_mean_and_variance_at_first_order_or_better(name):
    steps = (32, 64, 128)
    means, variances = zip(*(moments(RANDOM[name], num_steps) for num_steps in steps), strict=True)
    assert -np.polyfit(np.log(steps), np.log(variances), 1)[0] > 0.85
    assert variances[-1] < 0.015
    assert max(means) < 1e-3  # what the start, which has no mean, forgets


@pytest.mark.parametrize(("eta", "order"), [(0.4, 1), (1.0, 1)])
def test_order_1_is_ddim_with_the_same_draws(eta, order):
    """SDE-DPM-Solver++ of first order keeps e^{-eta h} of the noise; with eta = 1 that is DDIM's eta = 1."""

    def draws():
        generator = torch.Generator().manual_seed(3)
        return lambda: torch.randn(NOISES.shape, generator=generator, dtype=torch.float64)

    ours = last(dpm_solver(Mixture(), NOISES, 6, SCHEDULE, order=order, eta=eta, draw_noises=draws()))
    ddims = last(ddim(Mixture(), NOISES, 6, SCHEDULE, eta=eta, draw_noises=draws()))
    assert torch.allclose(ours.images, ddims.images, rtol=1e-11) == (eta == 1)


def test_churn_raises_the_noise_by_hand():
    """Algorithm 2, lines 4-6, of the first step; only where the noise lies in its bounds."""
    seen = []

    def denoise(noisy_images, noise_rates, signal_rates):
        seen.append((noisy_images, noise_rates, signal_rates))
        return Mixture()(noisy_images, noise_rates, signal_rates)

    z = torch.full_like(NOISES, 0.7)
    churn = Churn(amount=2, lowest=0.9, highest=60, spread=1.1)
    list(euler(denoise, NOISES, 10, SCHEDULE, churn=churn, draw_noises=lambda: z))
    noise, signal = (float(rates[0]) for rates in time_grid(10, SCHEDULE))
    sigma, sigma_hat = noise / signal, 1.2 * noise / signal
    y_hat = NOISES / signal + (sigma_hat**2 - sigma**2) ** 0.5 * 1.1 * z
    torch.testing.assert_close(seen[0][0], y_hat / (1 + sigma_hat**2) ** 0.5)
    own = [float(noise / signal) for noise, signal in zip(*time_grid(10, SCHEDULE), strict=True)][:-1]
    asked = [float(noise[0] / signal[0]) for _, noise, signal in seen]
    assert asked == pytest.approx([1.2 * r if 0.9 <= r <= 60 else r for r in own])


# --- ends ----------------------------------------------------------------------------------------------------

HARD = {**{name: sampler for name, (sampler, _) in ORDERS.items() if name != "second_order"}, **RANDOM}
HARD["multistep"] = multistep


@pytest.mark.parametrize(
    ("schedule", "spacing"),
    [
        (Cosine(), "uniform"),
        (RectifiedFlow(), "uniform"),
        (Cosine(), "karras"),
        (OffsetCosine(0.001, 1.0), "log_snr"),
        (ZeroTerminalSNR(base=LinearBeta(100)), "trailing"),
    ],
)
@pytest.mark.parametrize("name", HARD)
def test_starts_without_signal_and_ends_without_noise(name, spacing, schedule):
    """Never nan, also in one step; and with some steps near the data, whose standard deviation is 0.1."""
    noises = NOISES.float()
    for num_steps in (1, 2, 3, 12):
        times = times_of(spacing, num_steps, schedule)
        draw = partial(torch.randn, NOISES.shape, generator=torch.Generator().manual_seed(1))
        options = {} if name == "multistep" else {"draw_noises": draw}
        walk = HARD[name](Gaussian(0.3, 0.1), noises, num_steps, schedule, times=times, **options)
        for prediction in walk:
            assert prediction.images.isfinite().all()
            assert prediction.noises.isfinite().all()
    assert prediction.images.dtype == torch.float32
    assert (prediction.images - 0.3).abs().max() < 0.5


def test_no_gradients_and_the_callers_mode_is_left_alone():
    start = torch.zeros(1, 1, 2, 2, requires_grad=True)
    for sampler in (euler, heun, dpm_solver):
        for prediction in sampler(Gaussian(), start, 3):
            assert not prediction.images.requires_grad
            assert torch.is_grad_enabled()


@pytest.mark.parametrize(
    ("sampler", "options", "sentence"),
    [
        (euler, {"num_steps": 0}, "at least 1 step"),
        (heun, {"num_steps": 0}, "at least 1 step"),
        (dpm_solver, {"num_steps": 0}, "at least 1 step"),
        (dpm_solver, {"num_steps": 60, "schedule": LinearBeta(50)}, "stay on one step of their chain"),
        (dpm_solver, {"order": 4}, "orders 1, 2 and 3, but got 4"),
        (dpm_solver, {"order": 0}, "orders 1, 2 and 3, but got 0"),
        (dpm_solver, {"eta": -0.1}, "eta goes from 0"),
        (dpm_solver, {"times": torch.tensor([1.0, 0.5])}, "20 steps go along 21 falling times"),
    ],
)
def test_bad_arguments(sampler, options, sentence):
    with pytest.raises(UnnoiseError, match=sentence):
        last(sampler(Gaussian(), NOISES, **options))


@pytest.mark.parametrize(
    ("options", "sentence"),
    [({"amount": -1.0}, "at least 0, but got -1"), ({"lowest": 2.0, "highest": 1.0}, "2 to 1")],
)
def test_bad_churn(options, sentence):
    with pytest.raises(UnnoiseError, match=sentence):
        Churn(**options)
