"""Exact denoisers in closed form, of a Gaussian and of mixtures of Gaussians: what a perfect network answers.

They are `Denoise` functions, so every sampler runs on them without a network, and its errors are its own.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from unnoise.diffusion.mean_velocity import angles, pair_through
from unnoise.diffusion.samplers.step_ends import StepEnds
from unnoise.diffusion.tensors import Images, Prediction


@dataclass(frozen=True)
class Gaussian:
    r"""Exact denoiser of independent pixels N(mean, std^2).

        x_0 = mean + alpha std^2 / (alpha^2 std^2 + sigma^2) (x_t - alpha mean)

    the posterior mean of x_0 given x_t (Bishop, Pattern Recognition and Machine Learning, eq. 2.116). Both
    parameters may be tensors that broadcast over (B, C, H, W).
    """

    mean: float | Tensor = 0.0
    std: float | Tensor = 1.0

    def __call__(self, noisy_images: Tensor, noise_rates: Tensor, signal_rates: Tensor) -> Prediction:
        """Expected noises and images, each (B, C, H, W)."""
        variance = signal_rates.square() * self.std**2 + noise_rates.square()
        centred = noisy_images - signal_rates * self.mean
        images = self.mean + signal_rates * self.std**2 / variance * centred
        return Prediction(noise_rates / variance * centred, images)

    def flow(self, noisy_images: Tensor, first: Sequence[Tensor], then: Sequence[Tensor]) -> Tensor:
        """The end of the probability flow: (x - a mean) / sqrt(a^2 std^2 + n^2) is constant along it."""
        (noise, signal), (next_noise, next_signal) = first, then
        scale = (next_signal**2 * self.std**2 + next_noise**2) / (signal**2 * self.std**2 + noise**2)
        return next_signal * self.mean + scale.sqrt() * (noisy_images - signal * self.mean)


@dataclass(frozen=True)
class Mixture:
    r"""Exact denoiser of independent pixels with the density sum_k weight_k N(mean_k, std_k^2).

    The density at a noise level is sum_k weight_k N(alpha mean_k, alpha^2 std_k^2 + sigma^2). The predicted
    images are the posterior means of the components, weighted by the posterior probability of each component.
    """

    means: tuple[float, ...] = (-1.2, 0.4, 1.0)
    stds: tuple[float, ...] = (0.4, 0.6, 0.3)
    weights: tuple[float, ...] = (0.3, 0.5, 0.2)

    def _components(self, noise_rates: Tensor, signal_rates: Tensor) -> tuple[Tensor, ...]:
        means, stds, weights = (
            torch.tensor(values, dtype=noise_rates.dtype) for values in (self.means, self.stds, self.weights)
        )
        centres, variances = (rates.unsqueeze(-1) for rates in (signal_rates, noise_rates.square()))
        return means, stds, weights, centres * means, (centres * stds).square() + variances

    def __call__(self, noisy_images: Tensor, noise_rates: Tensor, signal_rates: Tensor) -> Prediction:
        """Expected noises and images, each (B, C, H, W)."""
        means, stds, weights, centres, variances = self._components(noise_rates, signal_rates)
        away = noisy_images.unsqueeze(-1) - centres
        likely = (weights.log() - variances.log() / 2 - away.square() / variances / 2).softmax(-1)
        each = means + signal_rates.unsqueeze(-1) * stds.square() / variances * away
        images = (likely * each).sum(-1)
        return Prediction((noisy_images - signal_rates * images) / noise_rates, images)

    def density(self, values: Tensor, noise_rates: Tensor, signal_rates: Tensor) -> Tensor:
        """The density of noisy pixels at a noise level."""
        _, _, weights, centres, variances = self._components(noise_rates, signal_rates)
        away = values.unsqueeze(-1) - centres
        each = (-away.square() / variances / 2).exp() / (2 * torch.pi * variances).sqrt()
        return (weights * each).sum(-1)

    def sample(self, count: int, generator: torch.Generator | None = None) -> Images:
        """So many clean pixels, (count, 1, 1, 1)."""
        chosen = torch.multinomial(torch.tensor(self.weights), count, replacement=True, generator=generator)
        means, stds = (torch.tensor(values)[chosen] for values in (self.means, self.stds))
        return (means + stds * torch.randn(count, generator=generator)).view(-1, 1, 1, 1)

    def below(self, values: Tensor, noise_rates: Tensor, signal_rates: Tensor) -> Tensor:
        """The probability of less than these values."""
        _, _, weights, centres, variances = self._components(noise_rates, signal_rates)
        normal: Tensor = torch.special.ndtr((values.unsqueeze(-1) - centres) / variances.sqrt())
        return (weights * normal).sum(-1)

    def flow(self, noisy_images: Tensor, first: Sequence[Tensor], then: Sequence[Tensor]) -> Tensor:
        """The end of the probability flow, from one pair of rates to another.

        Each pixel moves separately, and the order of values is kept: the probability of lower values is
        constant.
        """
        wanted = self.below(noisy_images, *first)
        low, high = torch.full_like(noisy_images, -20), torch.full_like(noisy_images, 20)
        for _ in range(60):
            middle = (low + high) / 2
            less = self.below(middle, *then) < wanted
            low, high = torch.where(less, middle, low), torch.where(less, high, middle)
        return high


@dataclass(frozen=True)
class ExactJumps:
    """Exact mean velocity: a denoiser whose noises and images mix to the end of the flow where a step ends.

    Args:
        oracle: whose probability flow it is.
        end_of: where each step ends.
    """

    oracle: Gaussian | Mixture
    end_of: StepEnds

    def __call__(self, noisy_images: Tensor, noise_rates: Tensor, signal_rates: Tensor) -> Prediction:
        """Noises and images, each (B, C, H, W), that mix to the noisy images, too."""
        noise, signal = self.end_of(noise_rates)
        arrived = self.oracle.flow(noisy_images, (noise_rates, signal_rates), (noise, signal))
        begin, end = angles(noise_rates, signal_rates), angles(noise, signal)
        images, noises = pair_through(noisy_images, arrived, begin, end)
        return Prediction(noises, images)
