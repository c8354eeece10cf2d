"""Samplers of higher order meet exact denoisers: their coefficients, their order, their first steps."""

import math
from fractions import Fraction

import numpy as np
import pytest
import torch

from helpers.oracles import Gaussian, column, last
from unnoise.diffusion.samplers import ADAMS_BASHFORTH, ddim, multistep, second_order
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
    """A denoiser that sees eps = r^degree, r = noise / signal, whatever the images."""

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
    exact = [Fraction(weight).limit_denominator(720) for weight in ADAMS_BASHFORTH[order - 1]]
    assert [float(weight) for weight in exact] == pytest.approx(ADAMS_BASHFORTH[order - 1], rel=1e-15)
    for degree in range(order):
        at = [Fraction(-place) ** degree for place in reversed(range(order))]
        assert sum(w * value for w, value in zip(exact, at, strict=True)) == Fraction(1, degree + 1)


@pytest.mark.row("X10", "X11")
@pytest.mark.parametrize("order", [1, 2, 3, 4, 5])
def test_a_constant_noise_is_unchanged(order):
    plain = last(ddim(polynomial(0), NOISES, 9, SCHEDULE))
    samplers = [multistep(polynomial(0), NOISES, 9, SCHEDULE, order=order)]
    samplers += [second_order(polynomial(0), NOISES, 9, SCHEDULE, fraction=order / 5)]
    for sampler in samplers:
        prediction = last(sampler)
        torch.testing.assert_close(prediction.noises, torch.ones_like(NOISES), rtol=1e-13, atol=1e-13)
        torch.testing.assert_close(prediction.images, plain.images, rtol=1e-12, atol=1e-12)


@pytest.mark.row("X10")
@pytest.mark.parametrize("order", [2, 3, 4, 5])
def test_steps_that_are_equal_in_ratio_are_exact_after_the_first(order):
    """Where eps is a polynomial of lower degree than the order, dy / dr = eps is integrated without error."""
    for degree in range(order):
        states = [
            (prediction.images + r * prediction.noises, r)  # y = x_t / signal
            for prediction, r in zip(
                multistep(polynomial(degree), NOISES, 12, equal_in_ratio, order=order),
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
        ours = last(multistep(Gaussian(0.3, 0.5), noises, 7, order=1))
        assert torch.equal(ours.images, last(ddim(Gaussian(0.3, 0.5), noises, 7)).images)


@pytest.mark.row("X10")
@pytest.mark.parametrize("order", [1, 2, 3, 4, 5])
@pytest.mark.parametrize(("mean", "std"), [(0.0, 1.0), (0.3, 0.5), (-1.0, 2.0)])
def test_multistep_converges_at_its_order_up_to_2(order, mean, std):
    """The first step is DDIM's, whose error of second order stays however good the later ones are."""

    def sampler(*arguments):
        return multistep(*arguments, order=order)

    measured = order_of_convergence(sampler, mean, std)
    if order <= 2:
        assert measured == pytest.approx(order, abs=0.06)
    else:
        assert measured > 1.95


@pytest.mark.row("X11", "X3")
@pytest.mark.parametrize("fraction", [1.0, 0.75, 0.5])
@pytest.mark.parametrize(("mean", "std"), [(0.0, 1.0), (0.3, 0.5), (-1.0, 2.0)])
def test_second_order_converges_at_second_order(fraction, mean, std):
    def sampler(*arguments):
        return second_order(*arguments, fraction=fraction)

    assert order_of_convergence(sampler, mean, std) == pytest.approx(2, abs=0.06)


@pytest.mark.row("X11")
@pytest.mark.parametrize(("fraction", "own"), [(1.0, 0.5), (0.5, 0.0), (0.8, 1 - 1 / 1.6)])
def test_one_step_by_hand(fraction, own):
    """Heun's method takes the mean of both ends, the midpoint's only what is seen half-way."""
    denoise = Gaussian(0.3, 0.5)
    now, ahead = (
        [rates.expand(4, 1, 1, 1) for rates in SCHEDULE(column(t, dtype=torch.float64))]
        for t in (1.0, 1.0 - fraction / 2)
    )
    first = denoise(NOISES, *now)
    second = denoise(mix(first.images, first.noises, *ahead), *ahead)
    prediction = next(second_order(denoise, NOISES, 2, SCHEDULE, fraction=fraction))
    expected = own * first.noises + (1 - own) * second.noises
    torch.testing.assert_close(prediction.noises, expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(mix(prediction.images, prediction.noises, *now), NOISES)


@pytest.mark.row("X10", "X11")
def test_calls_and_the_end_without_noise():
    called = []

    def denoise(noisy_images, noise_rates, signal_rates):
        assert noise_rates.min() > 0
        called.append(noise_rates)
        return Gaussian(0.3, 0.5)(noisy_images, noise_rates, signal_rates)

    assert len(list(multistep(denoise, NOISES, 6, SCHEDULE, order=3))) == len(called) == 6
    called.clear()
    assert len(list(second_order(denoise, NOISES, 6, SCHEDULE))) == 6
    assert len(called) == 12
    called.clear()
    schedule = OffsetCosine(0.02, 1.0)
    assert torch.isfinite(last(second_order(denoise, NOISES, 6, schedule)).images).all()
    assert len(called) == 11  # nothing is to be seen where no noise is left
    called.clear()
    list(second_order(denoise, NOISES, 6, schedule, fraction=0.5))
    assert len(called) == 12


def test_given_times_are_used():
    times = torch.tensor([1.0, 0.9, 0.5, 0.0], dtype=torch.float64)
    for sampler in (multistep, second_order):
        even = last(sampler(Gaussian(0.3, 0.5), NOISES, 3, SCHEDULE)).images
        given = last(sampler(Gaussian(0.3, 0.5), NOISES, 3, SCHEDULE, times=times)).images
        assert not torch.allclose(even, given)
        again = last(sampler(Gaussian(0.3, 0.5), NOISES, 3, SCHEDULE, times=torch.linspace(1, 0, 4))).images
        torch.testing.assert_close(even, again, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("schedule", [Cosine(), RectifiedFlow()])
def test_only_multistep_may_start_without_signal(schedule):
    images = last(multistep(Gaussian(0.3, 0.5), NOISES, 50, schedule)).images
    torch.testing.assert_close(images, 0.3 + 0.5 * NOISES, rtol=0, atol=0.05)
    with pytest.raises(UnnoiseError, match="divides by the signal rate"):
        next(second_order(Gaussian(0.3, 0.5), NOISES, 5, schedule))


def test_no_gradients_and_the_callers_mode_is_left_alone():
    start = torch.zeros(1, 1, 2, 2, requires_grad=True)
    for sampler in (multistep, second_order):
        for prediction in sampler(Gaussian(), start, 3):
            assert not prediction.images.requires_grad
            assert torch.is_grad_enabled()


@pytest.mark.parametrize(
    ("sampler", "arguments", "sentence"),
    [
        (multistep, {"num_steps": 0}, "at least 1 step"),
        (multistep, {"order": 0}, "from 1 to 5, but got 0"),
        (multistep, {"order": 6}, "from 1 to 5, but got 6"),
        (second_order, {"num_steps": 0}, "at least 1 step"),
        (second_order, {"fraction": 0.0}, "above 0 and at most 1"),
        (second_order, {"fraction": 1.5}, "above 0 and at most 1"),
    ],
)
def test_bad_arguments(sampler, arguments, sentence):
    with pytest.raises(UnnoiseError, match=sentence):
        last(sampler(Gaussian(), NOISES, **arguments))
