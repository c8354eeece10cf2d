"""DEIS and UniPC: polynomial weights, exactness for polynomials, ends of schedules, bad arguments."""

import inspect
import math
from functools import partial

import pytest
import torch
from scipy.integrate import quad

from helpers.sampling import arrived, column, last
from unnoise.diffusion.oracles import Gaussian, Mixture
from unnoise.diffusion.samplers import adams_bashforth, ddim, deis, unipc
from unnoise.diffusion.samplers.adams_bashforth import COEFFICIENTS
from unnoise.diffusion.samplers.polynomials import exponential_moments, polynomial_weights
from unnoise.diffusion.schedules import (
    Cosine,
    CosineBeta,
    Linear,
    LinearBeta,
    LogSNRLinear,
    OffsetCosine,
    RatePair,
    RectifiedFlow,
    ZeroTerminalSNR,
)
from unnoise.diffusion.tensors import Prediction, mix
from unnoise.utils.errors import UnnoiseError

UNEVEN = torch.tensor([1.0, 0.93, 0.81, 0.77, 0.6, 0.44, 0.21, 0.1, 0.0], dtype=torch.float64)
NARROW = LogSNRLinear(1, -4)
NOISES = torch.randn(2, 1, 2, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
MIXTURE = Mixture((-0.7, 0.8), (1.1, 0.4), (0.5, 0.5))
SAMPLERS = {
    "deis": deis,
    "deis in log-SNR": partial(deis, variable="log_snr"),
    "deis in r": partial(deis, variable="ratio"),
    "unipc": unipc,
}
each_sampler = pytest.mark.parametrize("name", SAMPLERS)


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_weights_are_those_of_adams_and_bashforth_where_steps_are_equal(order):
    nodes = [float(place) for place in range(1 - order, 1)]
    weights = polynomial_weights(nodes, [1 / (power + 1) for power in range(order)])
    assert weights == pytest.approx(COEFFICIENTS[order - 1], rel=1e-13)


@pytest.mark.parametrize("length", [1e-6, 1e-3, 0.5, 3.0, 40.0, math.inf])
def test_exponential_moments_equal_their_integrals(length):
    """For short intervals they are those of a constant weight, 1 / (k + 1)."""
    whole = -math.expm1(-length)
    for power, moment in enumerate(exponential_moments(length, 4)):
        integral = quad(
            lambda v, power=power: v**power * math.exp(-v), 0, min(length, 60), epsabs=0, epsrel=1e-13
        )[0]
        assert moment == pytest.approx(integral / whole, rel=1e-10)
        if length < 1e-5:
            assert moment * (power + 1) / length**power == pytest.approx(1, abs=1e-5)


def predicting(noise_of):
    """A denoiser that predicts eps as a function of noise / signal, whatever the images."""

    def denoise(noisy_images, noise_rates, signal_rates):
        eps = noise_of(noise_rates / signal_rates).expand_as(noisy_images)
        return Prediction(eps, (noisy_images - noise_rates * eps) / signal_rates)

    return denoise


def states(sampler, denoise, schedule=NARROW):
    """x_t at each time of the uneven grid, from the predictions of the sampler, and the rates."""
    noise, signal = (rates.expand(-1, 2, 1, 1) for rates in schedule(UNEVEN.view(-1, 1, 1, 1)))
    noise, signal = noise.reshape(9, 2, 1, 1, 1), signal.reshape(9, 2, 1, 1, 1)
    predictions = list(sampler(denoise, NOISES, 8, schedule, times=UNEVEN))
    mixed = [mix(p.images, p.noises, noise[k], signal[k]) for k, p in enumerate(predictions)]
    mixed.append(mix(predictions[-1].images, predictions[-1].noises, noise[8], signal[8]))
    return torch.stack(mixed), noise, signal


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_deis_in_r_is_exact_for_polynomials_in_r(order):
    for degree in range(order):
        x, noise, signal = states(
            partial(deis, order=order, variable="ratio"), predicting(lambda r, d=degree: r**d)
        )
        y, r = (x / signal)[order - 1 :], (noise / signal)[order - 1 :]
        integral = (r ** (degree + 1) - r[0] ** (degree + 1)) / (degree + 1)
        torch.testing.assert_close(y - y[0], integral.expand_as(y), atol=1e-10, rtol=1e-10)


@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("variable", ["log_snr", "time"])
def test_deis_is_exact_for_polynomials_in_log_snr(order, variable):
    """Also in time, on a schedule whose time is the log-SNR: by quadrature instead of the closed form."""
    primitive = (lambda r, u: r, lambda r, u: r * (u - 1), lambda r, u: r * (u**2 - 2 * u + 2))
    for degree in range(order):
        sampler = partial(deis, order=order, variable=variable)
        x, noise, signal = states(sampler, predicting(lambda r, d=degree: r.log() ** d))
        y, r = (x / signal)[order - 1 :], (noise / signal)[order - 1 :]
        integral = primitive[degree](r, r.log())
        torch.testing.assert_close(y - y[0], (integral - integral[0]).expand_as(y), atol=1e-10, rtol=1e-10)


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_deis_in_r_is_adams_bashforth_for_equal_steps_in_r_and_deis_in_time_where_time_is_r(order):
    def straight(times):
        return RatePair(3 * times / (1 + 9 * times**2).sqrt(), 1 / (1 + 9 * times**2).sqrt())

    even = torch.linspace(1, 0, 9, dtype=torch.float64)
    ours = arrived(partial(deis, order=order, variable="ratio"), MIXTURE, NOISES, straight, even)
    theirs = arrived(partial(adams_bashforth, order=order), MIXTURE, NOISES, straight, even)
    torch.testing.assert_close(ours, theirs, atol=1e-12, rtol=1e-12)
    if order < 4:
        ours = arrived(partial(deis, order=order, variable="ratio"), MIXTURE, NOISES, straight, UNEVEN)
        theirs = arrived(partial(deis, order=order, variable="time"), MIXTURE, NOISES, straight, UNEVEN)
        torch.testing.assert_close(ours, theirs, atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize("order", [2, 3])
def test_unipc_is_exact_for_images_that_are_polynomials_in_log_snr(order):
    """The change of x / noise is the integral of e^l x_0(l), for polynomials x_0 of degree up to the order.

    Up to the last steps, which are of lower order.
    """
    primitives = (
        lambda x: 1 + 0 * x,
        lambda x: x - 1,
        lambda x: x**2 - 2 * x + 2,
        lambda x: x**3 - 3 * x**2 + 6 * x - 6,
    )
    for degree in range(order + 1):

        def denoise(noisy_images, noise_rates, signal_rates, degree=degree):
            images = (signal_rates / noise_rates).log().pow(degree).expand_as(noisy_images)
            return Prediction((noisy_images - signal_rates * images) / noise_rates, images)

        exact_steps = slice(order - 1, len(UNEVEN) + 1 - order)
        x, noise, signal = (values[exact_steps] for values in states(partial(unipc, order=order), denoise))
        log_ratios = (signal / noise).log()
        integral = log_ratios.exp() * primitives[degree](log_ratios)
        expected = (integral - integral[0]).expand_as(x)
        torch.testing.assert_close(x / noise - x[0] / noise[0], expected, atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize("name", [name for name in SAMPLERS if name != "unipc"])
def test_deis_of_order_1_is_ddim(name):
    sampler = partial(SAMPLERS[name], order=1)
    for schedule in (OffsetCosine(), Cosine()):
        ours = arrived(sampler, Gaussian(0.3, 0.5), NOISES, schedule, UNEVEN)
        torch.testing.assert_close(
            ours, arrived(ddim, Gaussian(0.3, 0.5), NOISES, schedule, UNEVEN), atol=1e-12, rtol=1e-12
        )


@each_sampler
def test_each_step_is_one_call_and_each_prediction_mixes_to_its_own_and_the_next_noisy_images(name):
    """Except that UniPC corrects its own noisy images after the call."""
    seen = []

    def denoise(noisy_images, noise_rates, signal_rates):
        seen.append((noisy_images, noise_rates, signal_rates))
        return MIXTURE(noisy_images, noise_rates, signal_rates)

    sampler = partial(SAMPLERS[name], order=3)
    predictions = list(sampler(denoise, NOISES, 8, NARROW, times=UNEVEN))
    assert len(predictions) == len(seen) == 8
    assert torch.equal(seen[0][0], NOISES)
    for step, prediction in enumerate(predictions):
        for noisy_images, *rates in seen[step + (name == "unipc") : step + 2]:
            torch.testing.assert_close(mix(prediction.images, prediction.noises, *rates), noisy_images)


@each_sampler
@pytest.mark.parametrize("schedule", [Cosine(), RectifiedFlow(), OffsetCosine(0.02, 1.0)], ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_they_may_start_without_signal_and_end_without_noise(name, schedule, dtype):
    def denoise(noisy_images, noise_rates, signal_rates):
        assert noise_rates.min() > 0
        return Gaussian(0.3, 0.5)(noisy_images, noise_rates, signal_rates)

    start = float(schedule(column(1, dtype=torch.float64)).signal_rates)
    scale = 0.5 / math.hypot(start * 0.5, math.sqrt(1 - start**2))
    exact = 0.3 + scale * (NOISES - start * 0.3)
    images = last(SAMPLERS[name](denoise, NOISES.to(dtype), 40, schedule)).images
    assert images.dtype == dtype
    torch.testing.assert_close(images.double(), exact, atol=0.02, rtol=0)


@pytest.mark.parametrize("schedule", [Cosine(), ZeroTerminalSNR()])
def test_unipcs_result_is_the_last_predicted_images_where_no_noise_is_left(schedule):
    predictions = []

    def denoise(*arguments):
        predictions.append(MIXTURE(*arguments))
        return predictions[-1]

    times = schedule.times(6) if isinstance(schedule, ZeroTerminalSNR) else None
    result = last(unipc(denoise, NOISES, 6, schedule, times=times))
    assert torch.isfinite(result.noises).all()
    assert torch.equal(result.images, predictions[-1].images)


@each_sampler
def test_on_a_discrete_schedule_they_are_more_exact_than_ddim(name):
    """In 20 of 1,000 timesteps, also where the schedule starts without signal and ends without noise."""
    for chain in (CosineBeta(), ZeroTerminalSNR()):
        start = float(chain(column(1, dtype=torch.float64)).signal_rates)
        scale = 0.5 / math.hypot(start * 0.5, math.sqrt(1 - start**2))
        exact = 0.3 + scale * (NOISES - start * 0.3)
        errors = [
            (last(sampler(Gaussian(0.3, 0.5), NOISES, 20, chain, times=chain.times(20))).images - exact)
            .abs()
            .max()
            for sampler in (ddim, SAMPLERS[name])
        ]
        assert errors[1] < 0.4 * errors[0]


def test_deis_in_time_on_linear_beta_is_nearly_that_on_its_continuous_limit():
    """10 steps on the discrete betas 1e-4 ... 0.02 of 1,000 timesteps, and on `Linear`."""
    times = LinearBeta().times(10)
    ends = [arrived(deis, MIXTURE, NOISES, schedule, times) for schedule in (LinearBeta(), Linear())]
    torch.testing.assert_close(*ends, atol=0.01, rtol=0)


@each_sampler
def test_no_gradients_and_the_callers_gradient_mode_is_unchanged(name):
    for prediction in SAMPLERS[name](Gaussian(), torch.zeros(1, 1, 2, 2, requires_grad=True), 4):
        assert not prediction.images.requires_grad
        assert torch.is_grad_enabled()


@pytest.mark.parametrize(
    ("sampler", "arguments", "sentence"),
    [
        *((sampler, {"num_steps": 0}, "at least 1 step") for sampler in SAMPLERS.values()),
        *((sampler, {"order": 0}, "is from 1 to") for sampler in SAMPLERS.values()),
        (deis, {"order": 5}, "deis is from 1 to 4, but got 5"),
        (unipc, {"order": 4}, "unipc is from 1 to 3, but got 4"),
    ],
)
def test_bad_arguments_raise(sampler, arguments, sentence):
    with pytest.raises(UnnoiseError, match=sentence):
        last(sampler(Gaussian(), NOISES, **arguments))


def test_an_unknown_variable_raises():
    """Without the run-time type check of the tests."""
    with pytest.raises(UnnoiseError, match="time, log_snr or ratio, but got 'sigma'"):
        next(inspect.unwrap(deis)(Gaussian(), NOISES, variable="sigma"))
