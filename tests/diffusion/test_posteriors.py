"""Posteriors between two noise levels, KL divergences and log-densities: known values and identities."""

import math

import pytest
import torch
from scipy import stats

from helpers.sampling import column
from unnoise.diffusion.posteriors import (
    discretized_gaussian_log_likelihood,
    gaussian_kl,
    gaussian_log_density,
    posterior,
    posterior_weights,
)
from unnoise.diffusion.schedules import LinearBeta, LogSNRLinear, OffsetCosine, RatePair


def pair(schedule, *times):
    return RatePair(*schedule(column(*times, dtype=torch.float64)))


def steps(table):
    """The rates of x_k and of x_{k-1} for k = 1 ... T."""
    times = torch.arange(table.num_timesteps + 1, dtype=torch.float64).view(-1, 1, 1, 1) / table.num_timesteps
    noise, signal = table(times)
    return RatePair(noise[1:], signal[1:]), RatePair(noise[:-1], signal[:-1])


@pytest.mark.row("H1")
def test_values_at_timestep_500_of_linear_beta():
    weights = posterior_weights(*steps(LinearBeta(1000)))
    at = {name: float(values.flatten()[500]) for name, values in weights._asdict().items()}
    assert at["small_variance"] == pytest.approx(0.01005134, abs=5e-9)
    assert at["images"] == pytest.approx(0.003058057, abs=5e-10)
    assert at["noisy_images"] == pytest.approx(0.994104351, abs=5e-10)


@pytest.mark.row("H1")
@pytest.mark.parametrize("num_steps", [50, 200, 1000])
def test_at_neighbouring_timesteps_it_is_the_posterior_of_ddpm(num_steps):
    table = LinearBeta(num_steps)
    betas, bars = table.betas, table.alphas_cumprod
    before = torch.cat([torch.ones(1, dtype=torch.float64), bars[:-1]])
    weights = posterior_weights(*steps(table))
    for found, expected in (
        (weights.large_variance, betas),
        (weights.small_variance, betas * (1 - before) / (1 - bars)),
        (weights.images, betas * before.sqrt() / (1 - bars)),
        (weights.noisy_images, (1 - betas).sqrt() * (1 - before) / (1 - bars)),
    ):
        torch.testing.assert_close(found.flatten(), expected, rtol=1e-9, atol=1e-15)


@pytest.mark.row("H6")
def test_the_posterior_mean_is_that_of_ddpm_for_a_predicted_noise():
    """sqrt(1 / alpha) (x - beta eps / sqrt(1 - alpha_bar))."""
    now, before = steps(LinearBeta(1000))
    noisy, noises = torch.randn(2, 1000, 1, 3, 3, dtype=torch.float64)
    images = (noisy - now.noise_rates * noises) / now.signal_rates
    betas = LinearBeta(1000).betas.view(-1, 1, 1, 1)
    expected = (noisy - betas * noises / now.noise_rates) / (1 - betas).sqrt()
    torch.testing.assert_close(posterior(images, noisy, now, before).mean, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.row("H8")
@pytest.mark.parametrize(("num_steps", "small"), [(1000, 0.9910674), (200, 0.9808452), (300, 0.9840998)])
def test_the_final_variance_of_ancestral_sampling_by_recursion(num_steps, small):
    """For data N(0, 1) and the exact denoiser alpha x."""
    now, before = steps(LinearBeta(num_steps, rescale=False))
    weights = posterior_weights(now, before)
    factors = (weights.noisy_images + weights.images * now.signal_rates).flatten().tolist()
    for variances, expected in ((weights.small_variance, small), (weights.large_variance, 1 - 1e-4)):
        variance = 1.0
        for step in reversed(range(num_steps)):
            added = float(variances.flatten()[step]) if step else 0.0
            variance = factors[step] ** 2 * variance + added
        assert variance == pytest.approx(expected, abs=1e-7)


@pytest.mark.parametrize("schedule", [OffsetCosine(), LogSNRLinear(25, -25)])
def test_two_steps_equal_one(schedule):
    """q(x_r | x_t, x_0) is the same from t to r, and from t over s to r (Chapman-Kolmogorov)."""
    far, middle, near = (pair(schedule, t) for t in (0.9, 0.5, 0.2))
    images, noisy = torch.randn(2, 1, 1, 4, 4, dtype=torch.float64)
    at_once = posterior(images, noisy, far, near)
    first = posterior(images, noisy, far, middle)
    second = posterior(images, first.mean, middle, near)
    torch.testing.assert_close(second.mean, at_once.mean, rtol=1e-9, atol=1e-12)
    spread = posterior_weights(middle, near).noisy_images ** 2 * first.small_variance + second.small_variance
    torch.testing.assert_close(spread, at_once.small_variance, rtol=1e-9, atol=0)


def test_the_marginal_after_a_step_is_that_of_the_schedule():
    """x_t = alpha_t x_0 + sigma_t eps sent back has the mean alpha_s x_0 and the variance sigma_s^2."""
    now, before = (pair(OffsetCosine(), t) for t in (0.7, 0.6))
    weights = posterior_weights(now, before)
    signal = weights.noisy_images * now.signal_rates + weights.images
    power = (weights.noisy_images * now.noise_rates) ** 2 + weights.small_variance
    torch.testing.assert_close(signal, before.signal_rates)
    torch.testing.assert_close(power, before.noise_rates**2)


def test_variances_between_close_noise_levels_are_accurate():
    """In float32 sigma_t^2 - alpha_ts^2 sigma_s^2 would be wrong in its second digit here."""
    times = (0.5, 0.5 - 1e-6)
    exact = posterior_weights(*(pair(LogSNRLinear(), t) for t in times)).large_variance.item()
    assert exact == pytest.approx(13e-6 * torch.sigmoid(torch.tensor(3.5)).item(), rel=1e-5)


def test_from_pure_noise_to_a_clean_image_it_is_the_image():
    clean, pure = (RatePair(column(noise), column(1 - noise)) for noise in (0.0, 1.0))
    images, noisy = torch.randn(2, 1, 1, 2, 2)
    step = posterior(images, noisy, pure, clean)
    assert torch.equal(step.mean, images)
    assert (step.small_variance.item(), step.large_variance.item()) == (0.0, 1.0)


def test_kl_of_two_gaussians():
    p, q = torch.distributions.Normal(0.3, 0.7), torch.distributions.Normal(-1.1, 1.9)
    logs = [2 * normal.scale.log() for normal in (p, q)]
    found = gaussian_kl(p.mean, logs[0], q.mean, logs[1])
    torch.testing.assert_close(found, torch.distributions.kl_divergence(p, q))
    assert gaussian_kl(p.mean, logs[0], p.mean, logs[0]) == 0


def test_density_of_a_gaussian():
    values = torch.linspace(-3, 3, 7, dtype=torch.float64)
    expected = torch.from_numpy(stats.norm(0.2, 0.4).logpdf(values.numpy()))
    torch.testing.assert_close(gaussian_log_density(values, torch.tensor(0.2), torch.tensor(0.4)), expected)


def test_probabilities_of_bins_sum_to_one_and_are_accurate_far_from_the_mean():
    edges = torch.cat(
        [column(-math.inf).flatten(), torch.linspace(-1, 1, 255), column(math.inf).flatten()]
    ).double()
    for mean, std in ((0.0, 0.1), (0.9, 0.003), (-5.0, 0.3), (0.1, 30.0)):
        logs = discretized_gaussian_log_likelihood(
            edges[:-1], edges[1:], torch.tensor(mean).double(), torch.tensor(std).double()
        )
        assert logs.exp().sum().item() == pytest.approx(1, abs=1e-9)
        assert not logs.isnan().any()
    zero, one = torch.zeros(1).double(), torch.ones(1).double()
    for low, high in ((30.0, 30.1), (-30.1, -30.0), (-0.1, 0.2)):
        found = discretized_gaussian_log_likelihood(low * one, high * one, zero, one)
        far = (min(abs(low), abs(high)) > 1, abs(low), abs(high))
        expected = (
            stats.norm.logsf(30.0) + math.log1p(-math.exp(stats.norm.logsf(30.1) - stats.norm.logsf(30.0)))
            if far[0]
            else math.log(stats.norm.cdf(high) - stats.norm.cdf(low))
        )
        assert found.item() == pytest.approx(expected, rel=1e-9)
