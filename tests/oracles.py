"""Data whose ideal denoiser is known in closed form: samplers are tested against it without a network."""

from dataclasses import dataclass

import torch

from unnoise.tensors import Prediction


@dataclass(frozen=True)
class Gaussian:
    """For data N(mean, std^2): x_0 = mean + a s^2 / (a^2 s^2 + n^2) (x - a mean), eps = (x - a x_0) / n."""

    mean: float = 0.0
    std: float = 1.0

    def __call__(self, noisy_images, noise_rates, signal_rates) -> Prediction:
        variance = signal_rates.square() * self.std**2 + noise_rates.square()
        centred = noisy_images - signal_rates * self.mean
        images = self.mean + signal_rates * self.std**2 / variance * centred
        return Prediction(noise_rates / variance * centred, images)


def last(iterator):
    """The last thing that an iterator yields."""
    for item in iterator:  # noqa: B007
        pass
    return item


def column(*values: float, dtype=torch.float32) -> torch.Tensor:
    """Times or rates, (B, 1, 1, 1)."""
    return torch.tensor(values, dtype=dtype).view(-1, 1, 1, 1)
