"""Variational bounds and likelihoods against closed forms, with the exact denoiser."""

import math
from dataclasses import dataclass

import pytest
import torch

from helpers.oracles import Gaussian, column
from unnoise.diffusion.normalizer import Normalizer
from unnoise.diffusion.posteriors import posterior_weights
from unnoise.diffusion.schedules import (
    Cosine,
    Linear,
    LinearBeta,
    LogSNRLinear,
    OffsetCosine,
    RatePair,
    log_snr,
)
from unnoise.diffusion.tensors import Prediction
from unnoise.evaluation.likelihood import (
    Bound,
    Decoder,
    DensityDecoder,
    PixelDecoder,
    bits_per_dim,
    bound_terms,
    continuous_bound,
    dequantize,
    flow_log_likelihood,
    flow_states,
    grey_level_volume,
    noise_chain,
    step_kl,
    variational_bound,
)
from unnoise.evaluation.likelihood.continuous import integration_ends, log_snr_slope
from unnoise.utils.errors import UnnoiseError

BITS = math.log(2)


def gaussian_images(mean, std, shape=(4, 1, 48, 48)):
    """Quantiles of N(mean, std^2) in random order: a sample without chance in its spread."""
    count = math.prod(shape)
    levels = (torch.arange(count, dtype=torch.float64) + 0.5) / count
    return (mean + std * torch.special.ndtri(levels))[torch.randperm(count)].view(shape)


def entropy(images, mean, std):
    """-log2 of the density, the mean over all values."""
    return -torch.distributions.Normal(mean, std).log_prob(images).mean().item() / BITS


def rows(chain, place):
    return RatePair(*(rates[place : place + 1] for rates in chain.rates))


# --- the discrete chain --------------------------------------------------------------------------------------


@pytest.mark.row("Q14")
@pytest.mark.parametrize("variance", ["small", "large"])
@pytest.mark.parametrize("num_steps", [200])
def test_kl_of_a_ddpm_step_equals_the_weighted_error_of_the_noise(num_steps, variance):
    """beta^2 / (2 sigma^2 alpha (1 - alpha_bar)) |eps - eps_hat|^2, plus what the variances differ by."""
    table = LinearBeta(num_steps)
    betas, bars = table.betas, table.alphas_cumprod
    chain = noise_chain(table, num_steps)
    images, noises, wrong = torch.randn(3, 1, 2, 3, 3, dtype=torch.float64)

    def denoise(noisy_images, noise_rates, signal_rates):
        seen = noises + wrong
        return Prediction(seen, (noisy_images - noise_rates * seen) / signal_rates)

    for i in range(1, num_steps):  # step i + 1 of DDPM; the first belongs to the decoder
        small = betas[i] * (1 - bars[i - 1]) / (1 - bars[i])
        chosen = small if variance == "small" else betas[i]
        weight = betas[i] ** 2 / (2 * chosen * (1 - betas[i]) * (1 - bars[i]))
        constant = wrong.numel() * (small / chosen - 1 - (small / chosen).log()) / 2
        found = step_kl(denoise, images, noises, rows(chain, i), rows(chain, i - 1), variance)
        torch.testing.assert_close(
            found, (weight * wrong.square().sum() + constant).view(1), rtol=1e-7, atol=1e-9
        )


@pytest.mark.row("Q14")
def test_kl_of_a_step_equals_the_difference_of_snrs_times_the_error():
    chain = noise_chain(OffsetCosine(), [0.3, 0.6])
    images, noises = torch.randn(2, 1, 2, 3, 3, dtype=torch.float64)
    far, near = (math.exp(log_snr(*rows(chain, place))) for place in (1, 0))

    def denoise(noisy_images, noise_rates, signal_rates):
        return Prediction(noises, images + 0.1)

    found = step_kl(denoise, images, noises, rows(chain, 1), rows(chain, 0), "small")
    assert found.item() == pytest.approx((near - far) * 0.01 * images.numel() / 2, rel=1e-9)


@pytest.mark.row("Q14")
@pytest.mark.parametrize(
    ("schedule", "mean", "std"),
    [
        (LinearBeta(1000), 0.2, 0.6),
        (OffsetCosine(0.002, 0.9999), -0.5, 1.5),
    ],
)
def test_bound_of_the_exact_denoiser_equals_the_entropy(schedule, mean, std):
    images = gaussian_images(mean, std)
    bound = variational_bound(Gaussian(mean, std), images, schedule, 1000, decoder=DensityDecoder())
    assert bound.total.mean().item() == pytest.approx(entropy(images, mean, std), abs=1e-2)
    # The definition of the entropy, so that the sample is not its own witness:
    assert entropy(images, mean, std) == pytest.approx(
        math.log2(std * math.sqrt(2 * math.pi * math.e)), abs=2e-3
    )


@dataclass(frozen=True)
class Levels:
    """Values that are bytes: the exact denoiser of a rounded Gaussian is a mean over the bytes."""

    values: torch.Tensor
    logs: torch.Tensor

    def __call__(self, noisy_images, noise_rates, signal_rates) -> Prediction:
        distances = (noisy_images[..., None] - signal_rates[..., None] * self.values) / noise_rates[..., None]
        weights = (self.logs - distances.square() / 2).softmax(-1)
        images = weights @ self.values
        return Prediction((noisy_images - signal_rates * images) / noise_rates, images)


@pytest.mark.row("Q14")
def test_bound_of_the_exact_denoiser_of_bytes_equals_their_entropy():
    normalizer = Normalizer((0.5,), (2 / 255,))  # a spread of 2 grey levels
    values = (torch.arange(120, 136, dtype=torch.float64) - 127.5) / 2
    logs = (-values.square() / 2).log_softmax(0)
    quantiles = (torch.arange(4096, dtype=torch.float64) + 0.5) / 4096
    chosen = torch.searchsorted(logs.exp().cumsum(0), quantiles)[torch.randperm(4096)]
    images, schedule = values[chosen].view(1024, 1, 2, 2), LogSNRLinear(6, -6)
    bound = continuous_bound(Levels(values, logs), images, schedule, 100, decoder=PixelDecoder(normalizer))
    exact = -(logs.exp() * logs).sum().item() / BITS
    assert bound.total.mean().item() == pytest.approx(exact, abs=3e-2)
    assert bound.decoder.mean().item() < 1e-3  # at this noise the byte is certain


def test_bound_with_the_large_variance_is_tight_for_data_of_variance_1():
    """The large variance is the posterior's for N(0, 1): the bound is tight in 3 steps; the small one's not."""
    images = gaussian_images(0, 1, (16, 1, 64, 64))
    for variance, excess in (("large", 0.0), ("small", 1.0)):
        bound = variational_bound(
            Gaussian(), images, OffsetCosine(0.02, 0.999), 3, decoder=DensityDecoder(), variance=variance
        )
        gap = bound.total.mean().item() - entropy(images, 0, 1)
        assert gap == pytest.approx(0, abs=0.02) if not excess else gap > excess


def test_bound_with_the_exact_variance_is_tight_in_4_steps():
    """The exact variance of each step, for data of any spread: tight in few steps, unlike the named ones."""
    std, images = 0.5, gaussian_images(0, 0.5, (16, 1, 64, 64))

    def learned(prediction, weights):
        """The small variance, and what is not known of x_0."""
        ratio = weights.small_variance / weights.large_variance
        power = weights.large_variance / (1 - weights.noisy_images.square() / ratio)  # sigma_t^2
        spread = power * std**2 / ((1 - power) * std**2 + power)
        return (weights.small_variance + weights.images.square() * spread).log().to(images.dtype)

    schedule = OffsetCosine(0.02, 0.999)
    gaps = {}
    for variance in ("small", "large", learned):
        bound = variational_bound(
            Gaussian(0, std), images, schedule, 4, decoder=DensityDecoder(), variance=variance
        )
        gaps[variance] = bound.total.mean().item() - entropy(images, 0, std)
    assert gaps[learned] == pytest.approx(0, abs=0.02)
    assert min(gaps["small"], gaps["large"]) > 0.05


def test_terms_are_prior_steps_and_decoder():
    images = gaussian_images(0, 1, (2, 1, 4, 4)).float()
    terms = list(bound_terms(Gaussian(), images, LinearBeta(30), 30, decoder=DensityDecoder()))
    assert [term.kind for term in terms] == ["prior", *["steps"] * 29, "decoder"]
    assert all(term.nats.shape == (2,) and term.nats.dtype == torch.float64 for term in terms)
    assert not any(term.nats.requires_grad for term in terms)
    # A schedule that starts with noise has a level at t = 0, and so one step more.
    terms = list(bound_terms(Gaussian(), images, OffsetCosine(), 20, decoder=DensityDecoder()))
    assert len(terms) == 22
    bound = variational_bound(Gaussian(), images, OffsetCosine(), 20, decoder=DensityDecoder())
    torch.testing.assert_close(bound.total, bound.prior + bound.steps + bound.decoder)
    expected = bits_per_dim(-terms[0].nats, 16)
    torch.testing.assert_close(bound.prior, expected)


def test_estimate_from_few_terms_is_unbiased():
    images, schedule = gaussian_images(0, 0.5, (1, 1, 2, 2)).expand(300, 1, 2, 2).float(), LinearBeta(50)
    arguments = (Gaussian(0, 0.5), images, schedule, 50)
    every = variational_bound(*arguments, decoder=DensityDecoder()).steps
    for num_terms in (5, 30):
        few = variational_bound(*arguments, decoder=DensityDecoder(), num_terms=num_terms).steps
        error = few.std() / math.sqrt(len(few)) + every.std() / math.sqrt(len(every))
        assert abs(few.mean() - every.mean()) < 3 * error
    # No more than there are: all of them, and nothing is drawn.
    terms = bound_terms(*arguments, decoder=DensityDecoder(), num_terms=50, draw_uniforms=lambda: 1 / 0)
    assert len(list(terms)) == 51


def test_single_precision_equals_double_precision():
    """Also at the ends of the chain, where the means of two steps agree in most of their digits."""
    images = gaussian_images(0.2, 0.6, (2, 1, 8, 8))
    noises = [torch.randn(2, 1, 8, 8, dtype=torch.float64) for _ in range(200)]
    exact, rounded = (
        variational_bound(
            Gaussian(0.2, 0.6),
            images.to(dtype),
            LinearBeta(200),
            200,
            decoder=DensityDecoder(),
            draw_noises=iter([noise.to(dtype) for noise in noises]).__next__,
        )
        for dtype in (torch.float64, torch.float32)
    )
    torch.testing.assert_close(rounded.total, exact.total, rtol=1e-3, atol=1e-3)


def test_the_chain_has_distinct_levels_with_noise():
    assert len(noise_chain(LinearBeta(50), 50).times) == 50
    assert len(noise_chain(LinearBeta(50), 170).times) == 50  # each level of a table once
    assert len(noise_chain(OffsetCosine(), 10).times) == 11
    assert noise_chain(Cosine(), [1, 0.25, 0]).times.flatten().tolist() == [0.25, 1]
    for times in (0, [], [0.5, 1.2], [-0.1, 1]):
        with pytest.raises(UnnoiseError, match="times from 0 to 1"):
            noise_chain(Cosine(), times)
    with pytest.raises(UnnoiseError, match="a time with noise"):
        noise_chain(Cosine(), [0])


def test_prior_of_a_chain_that_ends_without_signal_is_0():
    images = gaussian_images(0, 1, (2, 1, 32, 32))
    bound = variational_bound(Gaussian(), images, Cosine(), 50, decoder=DensityDecoder())
    assert bound.prior.abs().max() < 1e-12
    assert bound.total.mean().item() == pytest.approx(entropy(images, 0, 1), abs=0.1)


# --- decoders and units --------------------------------------------------------------------------------------


def test_probabilities_of_all_bytes_add_up_to_1():
    normalizer = Normalizer((0.4, 0.5), (0.25, 0.1))
    decoder = PixelDecoder(normalizer)
    assert isinstance(decoder, Decoder)
    bytes_ = torch.arange(256, dtype=torch.uint8).view(256, 1, 1, 1)
    for first, std in ((0.3, 0.01), (-2.0, 0.5)):
        pixels = bytes_.expand(256, 2, 1, 1).clone()
        pixels[:, 1] = 99
        images = normalizer.normalize(pixels)
        means = torch.tensor([first, images[0, 1].item()]).view(1, 2, 1, 1).expand(256, 2, 1, 1)
        logs = decoder(images, means, column(std).expand(256, 1, 1, 1))
        width = 1 / (255 * 0.1)  # of the second value, which sits in the middle of its bin
        other = math.log(math.erf(width / 2 / std / math.sqrt(2)))
        assert (logs - other).exp().sum().item() == pytest.approx(1, abs=1e-5)


def test_bits_do_not_depend_on_the_normalizer():
    """The same density of grey levels, told in two units."""
    pixels = torch.randint(0, 256, (4, 3, 2, 2), dtype=torch.uint8)
    results = []
    for normalizer in (Normalizer.symmetric(3), Normalizer((0.1, 0.2, 0.3), (0.2, 0.3, 0.4))):
        values = normalizer.normalize(dequantize(pixels, torch.full(pixels.shape, 0.5, dtype=torch.float64)))
        mean, std = (
            torch.tensor(list(part)).double().view(1, -1, 1, 1) for part in (normalizer.mean, normalizer.std)
        )
        log_density = (
            torch.distributions.Normal((0.5 - mean) / std, 0.3 / std).log_prob(values).flatten(1).sum(1)
        )
        results.append(bits_per_dim(log_density - grey_level_volume(normalizer, (3, 2, 2)), 12))
    torch.testing.assert_close(results[0], results[1], rtol=1e-6, atol=1e-6)
    exact = torch.distributions.Normal(127.5, 0.3 * 255).log_prob(pixels.double()).flatten(1).mean(1) / -BITS
    torch.testing.assert_close(results[0], exact, rtol=1e-6, atol=1e-6)
    assert grey_level_volume(Normalizer((0.0,), (0.5,)), (3, 2, 2)) == pytest.approx(12 * math.log(127.5))


# --- continuous time -----------------------------------------------------------------------------------------


@pytest.mark.row("Q14")
@pytest.mark.parametrize("over", ["log_snr", "time"])
@pytest.mark.parametrize("schedule", [OffsetCosine(0.002, 0.9999), LogSNRLinear(9, -9)])
def test_continuous_bound_of_the_exact_denoiser_equals_the_entropy(schedule, over):
    images = gaussian_images(0.2, 0.6, (1024, 1, 4, 4))
    bound = continuous_bound(Gaussian(0.2, 0.6), images, schedule, 50, decoder=DensityDecoder(), over=over)
    assert bound.total.mean().item() == pytest.approx(entropy(images, 0.2, 0.6), abs=3e-2)


def test_log_snr_slope_equals_the_difference_quotient():
    times = column(0.1, 0.5, 0.9, dtype=torch.float64)
    for schedule in (OffsetCosine(), Linear(), LogSNRLinear()):
        quotient = (log_snr(*schedule(times + 1e-6)) - log_snr(*schedule(times - 1e-6))) / 2e-6
        torch.testing.assert_close(log_snr_slope(schedule, times), quotient, rtol=1e-6, atol=1e-6)
    with pytest.raises(UnnoiseError, match="has no derivative"):
        log_snr_slope(LinearBeta(50), times)


def test_continuous_bound_of_a_discrete_schedule_equals_the_entropy():
    images = gaussian_images(0.2, 0.6, (1024, 1, 4, 4))
    bound = continuous_bound(Gaussian(0.2, 0.6), images, LinearBeta(1000), 100, decoder=DensityDecoder())
    assert bound.total.mean().item() == pytest.approx(entropy(images, 0.2, 0.6), abs=3e-2)
    with pytest.raises(UnnoiseError, match="two levels with both noise and signal"):
        integration_ends(Cosine(), [0, 1])


# --- the probability flow ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("schedule", "mean", "std"),
    [
        (LogSNRLinear(14, -14), 0.2, 0.6),
        (LogSNRLinear(14, -14), -1.0, 2.0),
        (Linear(), 0.2, 0.6),
        (LinearBeta(1000), 0.2, 0.6),
    ],
)
def test_flow_likelihood_of_the_exact_denoiser_equals_the_density(schedule, mean, std):
    images = mean + std * torch.randn(8, 1, 4, 4, dtype=torch.float64)
    exact = torch.distributions.Normal(mean, std).log_prob(images).flatten(1).sum(1)
    found = flow_log_likelihood(Gaussian(mean, std), images, schedule, 50)
    assert bits_per_dim(found - exact, 16).abs().max() < 1e-3


def test_flow_likelihood_converges_at_fourth_order():
    schedule = OffsetCosine(1e-5, 0.95)  # so little signal at its end that N(0, 1) is exact
    images = 0.5 * torch.randn(4, 1, 2, 2, dtype=torch.float64)
    noise, signal = (rate.item() for rate in schedule(column(0.0, dtype=torch.float64)))
    noisy = torch.distributions.Normal(0.0, math.hypot(0.5, noise / signal))
    exact = noisy.log_prob(images).flatten(1).sum(1)
    errors = [
        (flow_log_likelihood(Gaussian(0.0, 0.5), images, schedule, steps) - exact).abs().max().item()
        for steps in (12, 24, 48)
    ]
    assert errors[0] / errors[1] > 10
    assert errors[1] / errors[2] > 10


@dataclass(frozen=True)
class Mixing:
    """N(0, covariance) over the four values of an image: a Jacobian that is not diagonal."""

    covariance: torch.Tensor

    def __call__(self, noisy_images, noise_rates, signal_rates) -> Prediction:
        shape, flat = noisy_images.shape, noisy_images.flatten(1)
        noise, signal = noise_rates.flatten(1), signal_rates.flatten(1)
        total = signal[:, :, None] ** 2 * self.covariance + noise[:, :, None] ** 2 * torch.eye(4).double()
        solved = torch.linalg.solve(total, flat[..., None])
        images = (signal[:, :, None] * self.covariance @ solved)[..., 0]
        return Prediction((noise * solved[..., 0]).view(shape), images.view(shape))


def test_estimate_of_the_trace_is_unbiased():
    root = torch.randn(4, 4, dtype=torch.float64)
    covariance = root @ root.T / 4 + 0.1 * torch.eye(4)
    data = torch.distributions.MultivariateNormal(torch.zeros(4).double(), covariance)
    values = data.sample((3,))
    images = values.view(3, 1, 2, 2)
    schedule = LogSNRLinear(14, -14)
    exact = flow_log_likelihood(Mixing(covariance), images, schedule, 60, num_probes=None)
    torch.testing.assert_close(exact, data.log_prob(values), atol=2e-3, rtol=0)
    one = images[:1].expand(200, 1, 2, 2)
    estimates = flow_log_likelihood(Mixing(covariance), one, schedule, 10)
    expected = flow_log_likelihood(Mixing(covariance), images[:1], schedule, 10, num_probes=None)
    assert abs(estimates.mean() - expected) < 4 * estimates.std() / math.sqrt(200)
    more = flow_log_likelihood(Mixing(covariance), one, schedule, 10, num_probes=4)
    assert more.std().item() == pytest.approx(estimates.std().item() / 2, rel=0.25)


def test_flow_states_end_in_noise():
    images = 0.3 + 0.5 * torch.randn(500, 1, 2, 2)
    states = list(flow_states(Gaussian(0.3, 0.5), images, OffsetCosine(0.002, 0.9999), 12))
    assert len(states) == 12
    assert states[-1].noisy_images.std().item() == pytest.approx(1, abs=0.05)
    assert not states[-1].noisy_images.requires_grad
    assert isinstance(Bound(*[states[-1].log_likelihoods] * 3).total, torch.Tensor)
    for arguments, sentence in (({"num_steps": 0}, "at least 1 step"), ({"num_probes": 0}, "at least 1 probe")):
        with pytest.raises(UnnoiseError, match=sentence):
            flow_log_likelihood(Gaussian(), images, OffsetCosine(), **arguments)


def test_posterior_weights_of_a_chain_multiply_to_the_ratio_of_its_snrs():
    """From the noise alone down to the least noise the forgotten parts multiply to the whole ratio of SNRs."""
    chain = noise_chain(OffsetCosine(), 40)
    now, before = (RatePair(*(rates[part] for rates in chain.rates)) for part in (slice(1, None), slice(-1)))
    weights = posterior_weights(now, before)
    ratios = 1 - weights.large_variance / now.noise_rates.square()
    clarity = log_snr(*chain.rates).flatten()
    torch.testing.assert_close(ratios.log().sum(), clarity[-1] - clarity[0])
