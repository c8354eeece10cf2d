"""Orders of convergence of the samplers, mean and variance of stochastic ones, and ends of schedules."""

import functools
import math
from functools import partial

import numpy as np
import pytest
import torch

from helpers.sampling import arrived, column, last
from unnoise.diffusion.oracles import Gaussian, Mixture
from unnoise.diffusion.samplers import (
    adams_bashforth,
    ancestral,
    ddim,
    deis,
    dpm_solver,
    heun,
    rates_at,
    spaced_times,
    time_grid,
    unipc,
)
from unnoise.diffusion.schedules import (
    Cosine,
    LinearBeta,
    LogSNRLinear,
    OffsetCosine,
    RectifiedFlow,
    ZeroTerminalSNR,
)
from unnoise.diffusion.tensors import Prediction, mix
from unnoise.utils.errors import UnnoiseError

NOISES = torch.randn(2, 1, 3, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
SCHEDULE = LogSNRLinear(2, -8)  # almost nothing but noise at the start, and some left at the end
STEPS = (80, 160)
ORDERS = {
    "ddim": (ddim, 1),
    "heun": (heun, 2),
    "1M": (partial(dpm_solver, order=1), 1),
    "2M": (dpm_solver, 2),
    "3M": (partial(dpm_solver, order=3), 3),
}


def walked(sampler, oracle, num_steps, spacing="log_snr", schedule=SCHEDULE, noises=NOISES, **options):
    """X at the end of the grid, and the rates at both ends."""
    times = spaced_times(spacing, num_steps, schedule)
    prediction = last(sampler(oracle, noises, num_steps, schedule, times=times, **options))
    grid = time_grid(num_steps, schedule, times)
    first, end = (rates_at(grid, step, noises) for step in (0, num_steps))
    return mix(prediction.images, prediction.noises, *end), first, end


def order_of_convergence(sampler, oracle, spacing="log_snr"):
    errors = []
    for steps in STEPS:
        reached, first, end = walked(sampler, oracle, steps, spacing)
        errors.append((reached - oracle.flow(NOISES, first, end)).abs().max().item())
    return -np.polyfit(np.log(STEPS), np.log(errors), 1)[0]


@pytest.mark.parametrize("oracle", [Gaussian(0.3, 0.5), Mixture()], ids=["Gaussian", "Mixture"])
@pytest.mark.parametrize("name", ORDERS)
def test_orders_of_convergence(name, oracle):
    sampler, order = ORDERS[name]
    assert order_of_convergence(sampler, oracle) == pytest.approx(order, abs=0.2)


@pytest.mark.parametrize("name", ["ddim", "2M", "3M"])
def test_orders_of_convergence_on_the_karras_grid(name):
    sampler, order = ORDERS[name]
    assert order_of_convergence(sampler, Mixture(), "karras") == pytest.approx(order, abs=0.2)


def test_3m_with_the_published_half_curvature_is_of_second_order():
    """As published, 3M's D_2 is the second divided difference; the second derivative is twice that."""
    published = partial(dpm_solver, order=3, published=True)
    assert order_of_convergence(published, Mixture()) == pytest.approx(2, abs=0.2)


def test_the_flow_of_the_mixture_is_the_one_that_its_denoiser_follows():
    """The oracle's oracle: quantiles that stay, against very fine steps along dy / dr = eps."""
    reached, first, end = walked(partial(dpm_solver, order=3), Mixture(), 200)
    torch.testing.assert_close(reached, Mixture().flow(NOISES, first, end), rtol=0, atol=1e-5)
    one = Mixture((0.3,), (0.5,), (1.0,))
    torch.testing.assert_close(one.flow(NOISES, first, end), Gaussian(0.3, 0.5).flow(NOISES, first, end))


# --- stochastic samplers -------------------------------------------------------------------------------------


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


STOCHASTIC = {
    "ancestral": ancestral,
    "ddim, eta 1": partial(ddim, eta=1.0),
    "2M SDE": partial(dpm_solver, order=2, eta=1.0),
    "3M SDE": partial(dpm_solver, order=3, eta=1.0),
    "3M SDE as published": partial(dpm_solver, order=3, eta=1.0, published=True),
    "2M, eta 1/2": partial(dpm_solver, order=2, eta=0.5),
}


@pytest.mark.parametrize("name", STOCHASTIC)
def test_mean_and_variance_of_stochastic_samplers_converge_at_first_order_or_better(name):
    steps = (32, 64, 128)
    means, variances = zip(*(moments(STOCHASTIC[name], num_steps) for num_steps in steps), strict=True)
    assert -np.polyfit(np.log(steps), np.log(variances), 1)[0] > 0.85
    assert variances[-1] < 0.015
    assert max(means) < 1e-3  # what the start, which has no mean, forgets


@pytest.mark.parametrize(("eta", "order"), [(0.4, 1), (1.0, 1)])
def test_sde_dpm_solver_of_order_1_and_eta_1_is_ddim_with_eta_1(eta, order):
    """SDE-DPM-Solver++ of first order keeps e^{-eta h} of the noise; with eta = 1 that is DDIM's eta = 1."""

    def draws():
        generator = torch.Generator().manual_seed(3)
        return lambda: torch.randn(NOISES.shape, generator=generator, dtype=torch.float64)

    ours = last(dpm_solver(Mixture(), NOISES, 6, SCHEDULE, order=order, eta=eta, draw_noises=draws()))
    ddims = last(ddim(Mixture(), NOISES, 6, SCHEDULE, eta=eta, draw_noises=draws()))
    assert torch.allclose(ours.images, ddims.images, rtol=1e-11) == (eta == 1)


# --- DEIS and UniPC -------------------------------------------------------------------------------------------

WIDE = OffsetCosine(0.3, 0.95)
GAUSSIANS = Gaussian(0.3, column(0.2, 0.5, 1.5, dtype=torch.float64))
"""One for each image, since the error constant of a single one may happen to be near 0."""
TWO_PEAKS = Mixture((-0.7, 0.8), (1.1, 0.4), (0.5, 0.5))
STARTS = torch.randn(1, 1, 2, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64).repeat(
    4, 1, 1, 1
)


def gaussians_and_mixture(noisy_images, noise_rates, signal_rates) -> Prediction:
    """The exact denoisers of three Gaussians and a mixture, for one image each."""
    gaussian = GAUSSIANS(noisy_images[:3], noise_rates[:3], signal_rates[:3])
    mixed = TWO_PEAKS(noisy_images[3:], noise_rates[3:], signal_rates[3:])
    return Prediction(torch.cat([gaussian.noises, mixed.noises]), torch.cat([gaussian.images, mixed.images]))


@functools.cache
def exact_ends():
    """Their noisy images at t = 0, along the probability flow."""
    first, end = (
        [rate.expand(1, 1, 1, 1) for rate in WIDE(column(t, dtype=torch.float64))] for t in (1.0, 0.0)
    )
    return torch.cat([GAUSSIANS.flow(STARTS[:3], first, end), TWO_PEAKS.flow(STARTS[3:], first, end)])


def orders_of_convergence(sampler, *, fine_ends=True):
    """The slopes of log error against log step, for the Gaussians and the mixture, with 40 and 80 steps.

    With fine ends, t = 1 - s^2 (3 - 2 s) for even s. Then the first step has length O(1 / K^2), and its error
    of first order is O(1 / K^4).
    """
    errors = []
    for steps in (40, 80):
        even = torch.arange(steps + 1, dtype=torch.float64) / steps
        times = 1 - (even.square() * (3 - 2 * even) if fine_ends else even)
        off = (arrived(sampler, gaussians_and_mixture, STARTS, WIDE, times) - exact_ends()).square()
        errors.append([off[:3].mean().sqrt().item(), off[3:].mean().sqrt().item()])
    return [math.log2(coarse / fine) for coarse, fine in zip(*errors, strict=True)]


CLAIMS = [
    *((partial(deis, order=order), order) for order in (1, 2, 3)),
    *((partial(deis, order=order, variable="log_snr"), order) for order in (1, 2, 3)),
    *((partial(deis, order=order, variable="ratio"), order) for order in (1, 2, 3, 4)),
    *((partial(unipc, order=order), order + 1) for order in (1, 2, 3)),
]


@pytest.mark.parametrize(("sampler", "order"), CLAIMS)
def test_orders_of_convergence_of_deis_and_unipc(sampler, order):
    assert orders_of_convergence(sampler) == pytest.approx([order, order], abs=0.2)


@pytest.mark.parametrize(
    ("sampler", "order"),
    [
        (partial(deis, variable="ratio"), 2),
        (deis, 2),
        (unipc, 2),  # its last step is of first order, too
    ],
)
def test_on_even_steps_deis_and_unipc_are_of_second_order(sampler, order):
    """The error of one step of first order is of second order, and stays."""
    assert orders_of_convergence(sampler, fine_ends=False)[0] == pytest.approx(order, abs=0.25)


# --- ends ----------------------------------------------------------------------------------------------------

HARD = {**{name: sampler for name, (sampler, _) in ORDERS.items()}, **STOCHASTIC, "Adams": adams_bashforth}


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
        times = spaced_times(spacing, num_steps, schedule)
        draw = partial(torch.randn, NOISES.shape, generator=torch.Generator().manual_seed(1))
        walk = HARD[name](Gaussian(0.3, 0.1), noises, num_steps, schedule, times=times, draw_noises=draw)
        for prediction in walk:
            assert prediction.images.isfinite().all()
            assert prediction.noises.isfinite().all()
    assert prediction.images.dtype == torch.float32
    assert (prediction.images - 0.3).abs().max() < 0.5


def test_no_gradients_and_the_callers_gradient_mode_is_unchanged():
    start = torch.zeros(1, 1, 2, 2, requires_grad=True)
    for prediction in dpm_solver(Gaussian(), start, 3):
        assert not prediction.images.requires_grad
        assert torch.is_grad_enabled()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"num_steps": 0}, "at least 1 step"),
        ({"num_steps": 60, "schedule": LinearBeta(50)}, "stay on one timestep of the discrete schedule"),
        ({"order": 4}, "orders 1, 2 and 3, but got 4"),
        ({"order": 0}, "orders 1, 2 and 3, but got 0"),
        ({"eta": -0.1}, "eta goes from 0"),
        ({"times": torch.tensor([1.0, 0.5])}, "20 steps need 21 falling times"),
    ],
)
def test_bad_arguments_of_dpm_solver_raise(options, sentence):
    with pytest.raises(UnnoiseError, match=sentence):
        last(dpm_solver(Gaussian(), NOISES, **options))
