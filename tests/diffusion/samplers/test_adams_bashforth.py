"""Adams-Bashforth sampler: coefficients, exactness for polynomials, order of convergence, bad arguments."""

import math
from fractions import Fraction

import numpy as np
import pytest
import torch

from helpers.sampling import column, last
from unnoise.diffusion.oracles import Gaussian
from unnoise.diffusion.samplers import adams_bashforth, ddim
from unnoise.diffusion.samplers.adams_bashforth import COEFFICIENTS
from unnoise.diffusion.schedules import Cosine, OffsetCosine, RectifiedFlow
from unnoise.diffusion.tensors import Prediction, mix
from unnoise.utils.errors import UnnoiseError

NOISES = torch.randn(4, 1, 3, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
SCHEDULE = OffsetCosine(0.3, 0.95)
STEPS = (60, 120, 240)


def order_of_convergence(sampler, mean, std, schedule=SCHEDULE):
    """The slope of the error at t = 0: along the exact flow (x - a mean) / sqrt(a^2 std^2 + n^2) stays."""
    (first_noise, last_noise), (first_signal, last_signal) = (
        rates.flatten().tolist() for rates in schedule(column(1, 0, dtype=torch.float64))
    )
    scale = math.hypot(last_signal * std, last_noise) / math.hypot(first_signal * std, first_noise)
    exact = last_signal * mean + scale * (NOISES - first_signal * mean)
    ends = schedule(torch.zeros(4, 1, 1, 1, dtype=torch.float64))
    errors = []
    for steps in STEPS:
        prediction = last(sampler(Gaussian(mean, std), NOISES, steps, schedule))
        arrived = mix(prediction.images, prediction.noises, *ends)
        errors.append((arrived - exact).abs().max().item())
    return -np.polyfit(np.log(STEPS), np.log(errors), 1)[0]


def polynomial(degree):
    """A denoiser that predicts eps = r^degree, r = noise / signal, whatever the images."""

    def denoise(noisy_images, noise_rates, signal_rates):
        eps = (noise_rates / signal_rates).pow(degree).expand_as(noisy_images)
        return Prediction(eps, (noisy_images - noise_rates * eps) / signal_rates)

    return denoise


def equal_in_ratio(times):
    """The schedule of r = 3 t."""
    return 3 * times / (1 + 9 * times**2).sqrt(), 1 / (1 + 9 * times**2).sqrt()


@pytest.mark.row("X10")
@pytest.mark.parametrize("order", [1, 2, 3, 4, 5])
def test_coefficients_integrate_polynomials_over_the_next_step(order):
    """The integral of s^m from 0 to 1 from its values at 0, -1, -2, ...; for m = 0 they sum to 1."""
    exact = [Fraction(weight).limit_denominator(720) for weight in COEFFICIENTS[order - 1]]
    assert [float(weight) for weight in exact] == pytest.approx(COEFFICIENTS[order - 1], rel=1e-15)
    for degree in range(order):
        at = [Fraction(-place) ** degree for place in reversed(range(order))]
        assert sum(w * value for w, value in zip(exact, at, strict=True)) == Fraction(1, degree + 1)


@pytest.mark.row("X10")
@pytest.mark.parametrize("order", [1, 2, 3, 4, 5])
def test_for_constant_eps_it_is_ddim(order):
    plain = last(ddim(polynomial(0), NOISES, 9, SCHEDULE))
    prediction = last(adams_bashforth(polynomial(0), NOISES, 9, SCHEDULE, order=order))
    torch.testing.assert_close(prediction.noises, torch.ones_like(NOISES), rtol=1e-13, atol=1e-13)
    torch.testing.assert_close(prediction.images, plain.images, rtol=1e-12, atol=1e-12)


@pytest.mark.row("X10")
@pytest.mark.parametrize("order", [2, 3, 4, 5])
def test_steps_of_equal_length_in_r_are_exact_for_polynomials_after_the_first_steps(order):
    """Where eps is a polynomial of lower degree than the order, dy / dr = eps is integrated without error."""
    for degree in range(order):
        states = [
            (prediction.images + r * prediction.noises, r)  # y = x_t / signal
            for prediction, r in zip(
                adams_bashforth(polynomial(degree), NOISES, 12, equal_in_ratio, order=order),
                (3 * (1 - step / 12) for step in range(12)),
                strict=True,
            )
        ]
        (start, first), *later = states[order - 1 :]
        for state, r in later:
            integral = (r ** (degree + 1) - first ** (degree + 1)) / (degree + 1)
            torch.testing.assert_close(state, start + integral, rtol=1e-11, atol=1e-11)


@pytest.mark.row("X10")
def test_order_1_is_ddim_to_the_bit():
    for noises in (NOISES, NOISES.float()):
        ours = last(adams_bashforth(Gaussian(0.3, 0.5), noises, 7, order=1))
        assert torch.equal(ours.images, last(ddim(Gaussian(0.3, 0.5), noises, 7)).images)


@pytest.mark.row("X10")
@pytest.mark.parametrize("order", [1, 2, 3, 4, 5])
@pytest.mark.parametrize(("mean", "std"), [(0.0, 1.0), (0.3, 0.5), (-1.0, 2.0)])
def test_it_converges_at_its_order_up_to_2(order, mean, std):
    """The error of the first step, which is DDIM's, is of second order and stays."""

    def sampler(*arguments):
        return adams_bashforth(*arguments, order=order)

    measured = order_of_convergence(sampler, mean, std)
    if order <= 2:
        assert measured == pytest.approx(order, abs=0.06)
    else:
        assert measured > 1.95


@pytest.mark.row("X10")
def test_a_step_is_one_call():
    called = []

    def denoise(*arguments):
        called.append(arguments)
        return Gaussian(0.3, 0.5)(*arguments)

    assert len(list(adams_bashforth(denoise, NOISES, 6, SCHEDULE, order=3))) == len(called) == 6


def test_given_times_replace_the_even_ones():
    even, given, again = (
        last(adams_bashforth(Gaussian(0.3, 0.5), NOISES, 3, SCHEDULE, times=times)).images
        for times in (
            None,
            torch.tensor([1.0, 0.9, 0.5, 0.0], dtype=torch.float64),
            torch.linspace(1, 0, 4, dtype=torch.float64),
        )
    )
    assert not torch.allclose(even, given)
    torch.testing.assert_close(even, again, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("schedule", [Cosine(), RectifiedFlow()])
def test_it_may_start_without_signal(schedule):
    images = last(adams_bashforth(Gaussian(0.3, 0.5), NOISES, 50, schedule)).images
    torch.testing.assert_close(images, 0.3 + 0.5 * NOISES, rtol=0, atol=0.05)


def test_no_gradients_and_the_callers_gradient_mode_is_unchanged():
    for prediction in adams_bashforth(Gaussian(), torch.zeros(1, 1, 2, 2, requires_grad=True), 3):
        assert not prediction.images.requires_grad
        assert torch.is_grad_enabled()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"num_steps": 0}, "at least 1 step"),
        ({"order": 0}, "from 1 to 5, but got 0"),
        ({"order": 6}, "from 1 to 5, but got 6"),
    ],
)
def test_bad_arguments_raise(arguments, sentence):
    with pytest.raises(UnnoiseError, match=sentence):
        last(adams_bashforth(Gaussian(), NOISES, **arguments))
