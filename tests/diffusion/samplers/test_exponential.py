"""UniPC, DEIS and Adams-Bashforth for steps of any length meet exact denoisers: weights, states and ends."""

import inspect
import math
from functools import partial

import pytest
import torch
from scipy.integrate import quad

from diffusion.samplers.test_exponential_orders import MIXTURE, NOISES, arrived
from helpers.oracles import Gaussian, column, last
from unnoise.diffusion.samplers import ADAMS_BASHFORTH, ddim, multistep
from unnoise.diffusion.samplers.adams import adams
from unnoise.diffusion.samplers.deis import deis
from unnoise.diffusion.samplers.polynomials import decaying_moments, polynomial_weights
from unnoise.diffusion.samplers.unipc import unipc
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
plain = partial(unipc, corrector=False, lower_order_final=False)
SAMPLERS = {"adams": adams, "deis": deis, "deis in log-SNR": partial(deis, variable="log_snr"), "unipc": unipc}
each_sampler = pytest.mark.parametrize("name", SAMPLERS)


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_weights_are_those_of_adams_and_bashforth_where_steps_are_equal(order):
    nodes = [float(place) for place in range(1 - order, 1)]
    weights = polynomial_weights(nodes, [1 / (power + 1) for power in range(order)])
    assert weights == pytest.approx(ADAMS_BASHFORTH[order - 1], rel=1e-13)


@pytest.mark.parametrize("length", [1e-6, 1e-3, 0.5, 3.0, 40.0, math.inf])
def test_moments_are_those_of_a_decaying_weight(length):
    """And in short steps those of an even one, 1 / (k + 1)."""
    whole = -math.expm1(-length)
    for power, moment in enumerate(decaying_moments(length, 4)):
        integral = quad(
            lambda v, power=power: v**power * math.exp(-v), 0, min(length, 60), epsabs=0, epsrel=1e-13
        )[0]
        assert moment == pytest.approx(integral / whole, rel=1e-10)
        if length < 1e-5:
            assert moment * (power + 1) / length**power == pytest.approx(1, abs=1e-5)


def seeing(noise_of):
    """A denoiser that sees eps as a function of noise / signal, whatever the images."""

    def denoise(noisy_images, noise_rates, signal_rates):
        eps = noise_of(noise_rates / signal_rates).expand_as(noisy_images)
        return Prediction(eps, (noisy_images - noise_rates * eps) / signal_rates)

    return denoise


def states(sampler, denoise, schedule=NARROW):
    """X at each time of the uneven grid, as the samplers leave it, and the rates."""
    noise, signal = (rates.expand(-1, 2, 1, 1) for rates in schedule(UNEVEN.view(-1, 1, 1, 1)))
    noise, signal = noise.reshape(9, 2, 1, 1, 1), signal.reshape(9, 2, 1, 1, 1)
    predictions = list(sampler(denoise, NOISES, 8, schedule, times=UNEVEN))
    mixed = [mix(p.images, p.noises, noise[k], signal[k]) for k, p in enumerate(predictions)]
    mixed.append(mix(predictions[-1].images, predictions[-1].noises, noise[8], signal[8]))
    return torch.stack(mixed), noise, signal


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_adams_is_exact_for_polynomials_in_noise_over_signal(order):
    for degree in range(order):
        x, noise, signal = states(partial(adams, order=order), seeing(lambda r, d=degree: r**d))
        y, r = (x / signal)[order - 1 :], (noise / signal)[order - 1 :]
        integral = (r ** (degree + 1) - r[0] ** (degree + 1)) / (degree + 1)
        torch.testing.assert_close(y - y[0], integral.expand_as(y), atol=1e-10, rtol=1e-10)


@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("variable", ["log_snr", "time"])
def test_deis_is_exact_for_polynomials_in_log_snr(order, variable):
    """In time as well, where time is the log-SNR: by quadrature, where the other has a closed form."""
    primitive = (lambda r, u: r, lambda r, u: r * (u - 1), lambda r, u: r * (u**2 - 2 * u + 2))
    for degree in range(order):
        sampler = partial(deis, order=order, variable=variable)
        x, noise, signal = states(sampler, seeing(lambda r, d=degree: r.log() ** d))
        y, r = (x / signal)[order - 1 :], (noise / signal)[order - 1 :]
        integral = primitive[degree](r, r.log())
        torch.testing.assert_close(y - y[0], (integral - integral[0]).expand_as(y), atol=1e-10, rtol=1e-10)


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_adams_is_multistep_and_deis_in_time_where_time_is_noise_over_signal(order):
    def straight(times):
        return RatePair(3 * times / (1 + 9 * times**2).sqrt(), 1 / (1 + 9 * times**2).sqrt())

    even = torch.linspace(1, 0, 9, dtype=torch.float64)
    ours = arrived(partial(adams, order=order), MIXTURE, straight, even)
    theirs = arrived(partial(multistep, order=order), MIXTURE, straight, even)
    torch.testing.assert_close(ours, theirs, atol=1e-12, rtol=1e-12)
    if order < 4:
        ours = arrived(partial(adams, order=order), MIXTURE, straight, UNEVEN)
        theirs = arrived(partial(deis, order=order, variable="time"), MIXTURE, straight, UNEVEN)
        torch.testing.assert_close(ours, theirs, atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize(("order", "corrector"), [(1, False), (3, False), (2, True), (3, True)])
@pytest.mark.parametrize("variant", ["bh1", "bh2"])
def test_unipc_is_exact_for_images_that_are_polynomials_in_log_snr(order, corrector, variant):
    """The change of x / noise is the integral of e^l x_0(l), wherever the paper's a_1 = 1/2 is not used.

    The last step has a predictor only: there one degree less is exact.
    """
    primitives = (
        lambda x: 1 + 0 * x,
        lambda x: x - 1,
        lambda x: x**2 - 2 * x + 2,
        lambda x: x**3 - 3 * x**2 + 6 * x - 6,
    )
    sampler = partial(unipc, order=order, variant=variant, corrector=corrector, lower_order_final=False)
    for degree in range(order + corrector):

        def denoise(noisy_images, noise_rates, signal_rates, degree=degree):
            images = (signal_rates / noise_rates).log().pow(degree).expand_as(noisy_images)
            return Prediction((noisy_images - signal_rates * images) / noise_rates, images)

        x, noise, signal = states(sampler, denoise)
        x, noise, signal = (
            values[order - 1 : -1] if corrector else values[order - 1 :] for values in (x, noise, signal)
        )
        log_ratios = (signal / noise).log()
        integral = log_ratios.exp() * primitives[degree](log_ratios)
        expected = (integral - integral[0]).expand_as(x)
        torch.testing.assert_close(x / noise - x[0] / noise[0], expected, atol=1e-9, rtol=1e-9)


def test_the_variants_differ_only_where_one_difference_is_used():
    def gap(**options):
        ends = [arrived(partial(unipc, variant=v, **options), MIXTURE, NARROW, UNEVEN) for v in ("bh1", "bh2")]
        return (ends[0] - ends[1]).abs().max().item()

    assert gap(order=1, corrector=False) == 0
    assert gap(order=1) > 1e-4
    assert gap(order=2, corrector=False) > 1e-4


@each_sampler
def test_order_1_is_ddim(name):
    sampler = partial(SAMPLERS[name], order=1, **({"corrector": False} if name == "unipc" else {}))
    for schedule in (OffsetCosine(), Cosine()):
        ours = arrived(sampler, Gaussian(0.3, 0.5), schedule, UNEVEN)
        torch.testing.assert_close(
            ours, arrived(ddim, Gaussian(0.3, 0.5), schedule, UNEVEN), atol=1e-12, rtol=1e-12
        )


@each_sampler
def test_each_step_is_one_call_and_each_prediction_leads_to_the_next(name):
    """It mixes to x at its own time (which UniPC has corrected by then), and to the x that is seen next."""
    seen = []

    def denoise(noisy_images, noise_rates, signal_rates):
        seen.append((noisy_images, noise_rates, signal_rates))
        return MIXTURE(noisy_images, noise_rates, signal_rates)

    sampler = partial(plain if name == "unipc" else SAMPLERS[name], order=3)
    predictions = list(sampler(denoise, NOISES, 8, NARROW, times=UNEVEN))
    assert len(predictions) == len(seen) == 8
    assert torch.equal(seen[0][0], NOISES)
    for step, prediction in enumerate(predictions):
        for noisy_images, *rates in seen[step : step + 2]:
            torch.testing.assert_close(mix(prediction.images, prediction.noises, *rates), noisy_images)


@each_sampler
@pytest.mark.parametrize("schedule", [Cosine(), RectifiedFlow(), OffsetCosine(0.02, 1.0)], ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_start_without_signal_and_an_end_without_noise(name, schedule, dtype):
    def denoise(noisy_images, noise_rates, signal_rates):
        assert noise_rates.min() > 0
        return Gaussian(0.3, 0.5)(noisy_images, noise_rates, signal_rates)

    start = float(schedule(column(1, dtype=torch.float64)).signal_rates)
    scale = 0.5 / math.hypot(start * 0.5, math.sqrt(1 - start**2))
    exact = 0.3 + scale * (NOISES - start * 0.3)
    images = last(SAMPLERS[name](denoise, NOISES.to(dtype), 40, schedule)).images
    assert images.dtype == dtype
    torch.testing.assert_close(images.double(), exact, atol=0.02, rtol=0)


@pytest.mark.parametrize("variant", ["bh1", "bh2"])
@pytest.mark.parametrize("lower", [True, False])
def test_unipc_ends_with_what_was_seen_where_no_noise_is_left(variant, lower):
    seen = []

    def denoise(*arguments):
        seen.append(MIXTURE(*arguments))
        return seen[-1]

    for schedule in (Cosine(), ZeroTerminalSNR()):
        sampler = partial(unipc, variant=variant, lower_order_final=lower)
        times = LinearBeta().times(6) if isinstance(schedule, ZeroTerminalSNR) else None
        result = last(sampler(denoise, NOISES, 6, schedule, times=times))
        assert torch.isfinite(result.noises).all()
        assert torch.equal(result.images, seen[-1].images)


@each_sampler
def test_a_table_of_steps(name):
    """A chain of 1,000 steps in 20, which may start without signal and ends without noise, beats DDIM."""
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


def test_deis_in_time_on_a_table_is_that_along_the_curve_that_the_table_follows():
    """Discrete betas 1e-4 ... 0.02 in 1,000 steps are Linear: 10 steps of the one, and of the other."""
    times = LinearBeta().times(10)
    ends = [arrived(deis, MIXTURE, schedule, times) for schedule in (LinearBeta(), Linear())]
    torch.testing.assert_close(*ends, atol=0.01, rtol=0)


@each_sampler
def test_no_gradients_and_the_callers_mode_is_left_alone(name):
    for prediction in SAMPLERS[name](Gaussian(), torch.zeros(1, 1, 2, 2, requires_grad=True), 4):
        assert not prediction.images.requires_grad
        assert torch.is_grad_enabled()


@pytest.mark.parametrize(
    ("sampler", "arguments", "sentence"),
    [
        *((sampler, {"num_steps": 0}, "at least 1 step") for sampler in SAMPLERS.values()),
        *((sampler, {"order": 0}, "is from 1 to") for sampler in SAMPLERS.values()),
        (adams, {"order": 5}, "adams is from 1 to 4, but got 5"),
        (deis, {"order": 4}, "deis is from 1 to 3, but got 4"),
        (unipc, {"order": 4}, "unipc is from 1 to 3, but got 4"),
    ],
)
def test_bad_arguments(sampler, arguments, sentence):
    with pytest.raises(UnnoiseError, match=sentence):
        last(sampler(Gaussian(), NOISES, **arguments))


def test_unknown_words():
    """Without the types that the tests check."""
    for sampler, arguments, sentence in (
        (unipc, {"variant": "bh3"}, "bh1 or bh2, but got 'bh3'"),
        (deis, {"variable": "sigma"}, "in time or in log_snr, but got 'sigma'"),
    ):
        with pytest.raises(UnnoiseError, match=sentence):
            next(inspect.unwrap(sampler)(Gaussian(), NOISES, **arguments))
