"""Likelihood of the probability flow against exact densities."""

import math
from dataclasses import dataclass

import pytest
import torch

from helpers.sampling import column
from unnoise.diffusion.oracles import Gaussian
from unnoise.diffusion.schedules import (
    Linear,
    LinearBeta,
    LogSNRLinear,
    OffsetCosine,
)
from unnoise.diffusion.tensors import Prediction
from unnoise.evaluation.likelihood import (
    Bound,
    bits_per_dim,
    flow_log_likelihood,
    flow_states,
)
from unnoise.utils.errors import UnnoiseError


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
