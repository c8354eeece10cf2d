"""Heun's sampler and the midpoint method: steps by hand, order of convergence, calls and ends."""

import math

import numpy as np
import pytest
import torch

from helpers.sampling import column, last
from unnoise.diffusion.oracles import Gaussian
from unnoise.diffusion.samplers import ddim, heun, heun_calls, time_grid
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


def constant(noisy_images, noise_rates, signal_rates):
    """A denoiser that predicts eps = 1."""
    eps = torch.ones_like(noisy_images)
    return Prediction(eps, (noisy_images - noise_rates * eps) / signal_rates)


@pytest.mark.row("X11")
@pytest.mark.parametrize("fraction", [0.2, 0.5, 0.8, 1.0])
def test_for_constant_eps_it_is_ddim(fraction):
    prediction = last(heun(constant, NOISES, 9, SCHEDULE, fraction=fraction))
    torch.testing.assert_close(prediction.noises, torch.ones_like(NOISES), rtol=1e-13, atol=1e-13)
    plain = last(ddim(constant, NOISES, 9, SCHEDULE))
    torch.testing.assert_close(prediction.images, plain.images, rtol=1e-12, atol=1e-12)


@pytest.mark.row("X11", "X3")
@pytest.mark.parametrize("fraction", [1.0, 0.75, 0.5])
@pytest.mark.parametrize(("mean", "std"), [(0.0, 1.0), (0.3, 0.5), (-1.0, 2.0)])
def test_it_converges_at_second_order(fraction, mean, std):
    def sampler(*arguments):
        return heun(*arguments, fraction=fraction)

    assert order_of_convergence(sampler, mean, std) == pytest.approx(2, abs=0.06)


@pytest.mark.row("X11")
@pytest.mark.parametrize(("fraction", "own"), [(1.0, 0.5), (0.5, 0.0), (0.8, 1 - 1 / 1.6)])
def test_the_first_step_equals_its_formula(fraction, own):
    """Heun's method takes the mean of eps at both ends, the midpoint method eps half-way."""
    denoise = Gaussian(0.3, 0.5)
    now, ahead = (
        [rates.expand(4, 1, 1, 1) for rates in SCHEDULE(column(t, dtype=torch.float64))]
        for t in (1.0, 1.0 - fraction / 2)
    )
    first = denoise(NOISES, *now)
    second = denoise(mix(first.images, first.noises, *ahead), *ahead)
    prediction = next(heun(denoise, NOISES, 2, SCHEDULE, fraction=fraction))
    expected = own * first.noises + (1 - own) * second.noises
    torch.testing.assert_close(prediction.noises, expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(mix(prediction.images, prediction.noises, *now), NOISES)


@pytest.mark.row("X11")
def test_a_step_is_two_calls_except_where_no_noise_is_left_ahead():
    called = []

    def denoise(noisy_images, noise_rates, signal_rates):
        assert noise_rates.min() > 0
        called.append(noise_rates)
        return Gaussian(0.3, 0.5)(noisy_images, noise_rates, signal_rates)

    clean = OffsetCosine(0.02, 1.0)
    for schedule, fraction, calls in ((SCHEDULE, 1.0, 12), (clean, 1.0, 11), (clean, 0.5, 12)):
        called.clear()
        predictions = list(heun(denoise, NOISES, 6, schedule, fraction=fraction))
        assert (len(predictions), len(called)) == (6, calls)
        assert predictions[-1].images.isfinite().all()
    assert [heun_calls(time_grid(6, schedule)) for schedule in (SCHEDULE, clean)] == [12, 11]


@pytest.mark.parametrize("fraction", [1.0, 0.5])
@pytest.mark.parametrize("schedule", [Cosine(), RectifiedFlow()])
def test_a_first_step_without_signal_is_that_of_ddim(schedule, fraction):
    first, images = (
        [prediction.images for prediction in sampler]
        for sampler in (
            ddim(Gaussian(0.3, 0.5), NOISES, 30, schedule),
            heun(Gaussian(0.3, 0.5), NOISES, 30, schedule, fraction=fraction),
        )
    )
    assert torch.equal(first[0], images[0])
    torch.testing.assert_close(images[-1], 0.3 + 0.5 * NOISES, rtol=0, atol=0.05)


def test_given_times_replace_the_even_ones():
    even, given, again = (
        last(heun(Gaussian(0.3, 0.5), NOISES, 3, SCHEDULE, times=times)).images
        for times in (
            None,
            torch.tensor([1.0, 0.9, 0.5, 0.0], dtype=torch.float64),
            torch.linspace(1, 0, 4, dtype=torch.float64),
        )
    )
    assert not torch.allclose(even, given)
    torch.testing.assert_close(even, again, rtol=1e-12, atol=1e-12)


def test_no_gradients_and_the_callers_gradient_mode_is_unchanged():
    for prediction in heun(Gaussian(), torch.zeros(1, 1, 2, 2, requires_grad=True), 3):
        assert not prediction.images.requires_grad
        assert torch.is_grad_enabled()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"num_steps": 0}, "at least 1 step"),
        ({"fraction": 0.0}, "above 0 and at most 1"),
        ({"fraction": 1.5}, "above 0 and at most 1"),
    ],
)
def test_bad_arguments_raise(arguments, sentence):
    with pytest.raises(UnnoiseError, match=sentence):
        last(heun(Gaussian(), NOISES, **arguments))
