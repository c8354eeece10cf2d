"""A small network, seeded noises and discrete schedules by the names of diffusers: for comparisons with it."""

import torch
from torch import nn

from unnoise.diffusion.objectives import Objective
from unnoise.diffusion.schedules import CosineBeta, LinearBeta, QuadraticBeta, SigmoidBeta

CHAINS = {
    "linear": lambda total: LinearBeta(total, rescale=False),
    "scaled_linear": lambda total: QuadraticBeta(total, rescale=False),
    "squaredcos_cap_v2": CosineBeta,
    "sigmoid": lambda total: SigmoidBeta(total, rescale=False),
}
PREDICTIONS = {"epsilon": "noise", "sample": "image", "v_prediction": "velocity"}
SHAPE = (2, 3, 5, 4)


class Network(nn.Module):
    """A small, smooth network with the timestep as its condition."""

    def __init__(self):
        super().__init__()
        self.convolution = nn.Conv2d(3, 3, 3, padding=1, dtype=torch.float64)

    def forward(self, images, steps):
        return torch.tanh(self.convolution(images) + steps / 1000)


def denoiser(network, schedule, prediction):
    """Our denoiser of a network with one of diffusers' prediction types."""
    objective = Objective(PREDICTIONS[prediction])

    def denoise(noisy_images, noise_rates, signal_rates):
        output = network(noisy_images, schedule.timesteps_of(noise_rates, signal_rates))
        return objective.separate(output, noisy_images, noise_rates, signal_rates)

    return denoise


def draws(seed):
    """A function that draws the next noises from a generator with this seed."""
    generator = torch.Generator().manual_seed(seed)
    return lambda: torch.randn(SHAPE, generator=generator, dtype=torch.float64)
