"""Denoisers in closed form, of Gaussian data and of mixtures of Gaussians: test oracles for samplers."""

from dataclasses import dataclass

import torch

from unnoise.diffusion.tensors import Prediction, mix


@dataclass(frozen=True)
class Gaussian:
    """Exact denoiser of N(mean, s^2), x_0 = mean + a s^2 / (a^2 s^2 + n^2) (x - a mean)."""

    mean: float = 0.0
    std: float = 1.0

    def __call__(self, noisy_images, noise_rates, signal_rates) -> Prediction:
        variance = signal_rates.square() * self.std**2 + noise_rates.square()
        centred = noisy_images - signal_rates * self.mean
        images = self.mean + signal_rates * self.std**2 / variance * centred
        return Prediction(noise_rates / variance * centred, images)

    def flow(self, noisy_images, first, then):
        """The end of the probability flow: (x - a mean) / sqrt(a^2 std^2 + n^2) is constant along it."""
        (noise, signal), (next_noise, next_signal) = first, then
        scale = (next_signal**2 * self.std**2 + next_noise**2) / (signal**2 * self.std**2 + noise**2)
        return next_signal * self.mean + scale.sqrt() * (noisy_images - signal * self.mean)


@dataclass(frozen=True)
class Mixture:
    """Exact denoiser of independent pixels with the density sum_k weight_k N(mean_k, std_k^2).

    The density at a noise level is sum_k weight_k N(a mean_k, a^2 std_k^2 + n^2). The predicted images are the
    posterior means of the components, weighted by the posterior probability of each component.
    """

    means: tuple[float, ...] = (-1.2, 0.4, 1.0)
    stds: tuple[float, ...] = (0.4, 0.6, 0.3)
    weights: tuple[float, ...] = (0.3, 0.5, 0.2)

    def _components(self, noise_rates, signal_rates):
        means, stds, weights = (
            torch.tensor(values, dtype=noise_rates.dtype) for values in (self.means, self.stds, self.weights)
        )
        centres, variances = (rates.unsqueeze(-1) for rates in (signal_rates, noise_rates.square()))
        return means, stds, weights, centres * means, (centres * stds).square() + variances

    def __call__(self, noisy_images, noise_rates, signal_rates) -> Prediction:
        means, stds, weights, centres, variances = self._components(noise_rates, signal_rates)
        away = noisy_images.unsqueeze(-1) - centres
        likely = (weights.log() - variances.log() / 2 - away.square() / variances / 2).softmax(-1)
        each = means + signal_rates.unsqueeze(-1) * stds.square() / variances * away
        images = (likely * each).sum(-1)
        return Prediction((noisy_images - signal_rates * images) / noise_rates, images)

    def below(self, values, noise_rates, signal_rates):
        """The probability of less than these values."""
        _, _, weights, centres, variances = self._components(noise_rates, signal_rates)
        normal = torch.special.ndtr((values.unsqueeze(-1) - centres) / variances.sqrt())
        return (weights * normal).sum(-1)

    def flow(self, noisy_images, first, then):
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


def last(iterator):
    """The last item of an iterator."""
    for item in iterator:  # noqa: B007
        pass
    return item


def column(*values: float, dtype=torch.float32) -> torch.Tensor:
    """Times or rates, (B, 1, 1, 1)."""
    return torch.tensor(values, dtype=dtype).view(-1, 1, 1, 1)


def arrived(sampler, denoise, noises, schedule, times):
    """The noisy images at the last of the times, (B, C, H, W)."""
    prediction = last(sampler(denoise, noises, len(times) - 1, schedule, times=times))
    ends = schedule(times[-1].expand(len(noises), 1, 1, 1))
    return mix(prediction.images, prediction.noises, *ends)
