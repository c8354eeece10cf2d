"""Own sampler: Heun's method (EDM, 2206.00364, algorithm 1) in a few lines over the one function, denoise.

With z = noisy_images / signal_rates and r = noise_rates / signal_rates, the flow is dz/dr = noises.

    python examples/own_sampler.py 2              trains for two minutes; writes own_sampler.png
"""

import itertools
import sys

import torch

import unnoise as un
from unnoise import pictures

MINUTES = float(sys.argv[1]) if len(sys.argv) > 1 else 2

run = un.train("digits", size=16, minutes=MINUTES, out="runs/sampler")
denoiser = run.diffusion.ema


def slope_at(z: torch.Tensor, ratio: torch.Tensor) -> torch.Tensor:
    signal = (1 + ratio**2).rsqrt().expand(len(z), 1, 1, 1)
    return denoiser.denoise(z * signal, ratio * signal, signal).noises


@torch.no_grad()
def heun(noises: torch.Tensor, num_steps: int) -> torch.Tensor:
    ratios = torch.cat([torch.linspace(40 ** (1 / 7), 0.01 ** (1 / 7), num_steps) ** 7, torch.zeros(1)])
    z = noises * (1 + ratios[0] ** 2).sqrt()
    for ratio, below in itertools.pairwise(ratios):
        slope = slope_at(z, ratio)
        ahead = z + (below - ratio) * slope
        z = z + (below - ratio) * (slope + slope_at(ahead, below)) / 2 if below > 0 else ahead
    return denoiser.normalizer.denormalize(z)


# A row for each number of steps, of the same noises.
rows = [heun(denoiser.noises(range(10))(), num_steps) for num_steps in (2, 3, 5, 10, 20)]
pictures.save_png(pictures.grid(torch.cat(rows), columns=10), "own_sampler.png")
