"""Variational bound of the discrete chain against closed forms, with the exact denoiser."""

import math

import pytest
import torch

from helpers.entropies import entropy, gaussian_images
from unnoise.diffusion.oracles import Gaussian
from unnoise.diffusion.posteriors import posterior_weights
from unnoise.diffusion.schedules import (
    Cosine,
    LinearBeta,
    OffsetCosine,
    RatePair,
    log_snr,
)
from unnoise.diffusion.tensors import Prediction
from unnoise.evaluation.likelihood import (
    DensityDecoder,
    bits_per_dim,
    bound_terms,
    noise_chain,
    step_kl,
    variational_bound,
)
from unnoise.utils.errors import UnnoiseError


def rows(chain, place):
    return RatePair(*(rates[place : place + 1] for rates in chain.rates))


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


def test_posterior_weights_of_a_chain_multiply_to_the_ratio_of_its_snrs():
    """From the noise alone down to the least noise the forgotten parts multiply to the whole ratio of SNRs."""
    chain = noise_chain(OffsetCosine(), 40)
    now, before = (RatePair(*(rates[part] for rates in chain.rates)) for part in (slice(1, None), slice(-1)))
    weights = posterior_weights(now, before)
    ratios = 1 - weights.large_variance / now.noise_rates.square()
    clarity = log_snr(*chain.rates).flatten()
    torch.testing.assert_close(ratios.log().sum(), clarity[-1] - clarity[0])
