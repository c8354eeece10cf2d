"""Own network: any module that maps noisy images and their noise levels to images of the same shape.

This one sees all pixels at once: a residual multilayer perceptron. It is told the noise variance, (B, 1, 1, 1).

    python examples/own_network.py 3000           trains for 3,000 steps; writes own_network.png
"""

import sys

import torch
from torch import nn

import unnoise as un
from unnoise import pictures

STEPS = int(sys.argv[1]) if len(sys.argv) > 1 else 3000


class Perceptron(nn.Module):
    """Four wide layers: (B, 1, 8, 8) and (B, 1, 1, 1) -> (B, 1, 8, 8)."""

    def __init__(self, width: int = 512) -> None:
        super().__init__()
        self.stem, self.head = nn.Linear(64 + 16, width), nn.Linear(width, 64)
        self.layers = nn.ModuleList(nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width)) for _ in "1234")

    def forward(self, noisy_images: torch.Tensor, variances: torch.Tensor) -> torch.Tensor:
        waves = variances.flatten(1) * torch.arange(1, 9) * torch.pi
        features = self.stem(torch.cat([noisy_images.flatten(1), waves.sin(), waves.cos()], dim=1))
        for layer in self.layers:
            features = features + nn.functional.silu(layer(features))
        return self.head(features).view_as(noisy_images)


pixels = un.load("digits").take(range(1797))
objective = un.Objective(predicts="velocity", compares="velocity", loss="l2")
diffusion = un.Diffusion(Perceptron(), (1, 8, 8), normalizer=un.Normalizer.fit(pixels), objective=objective)
for _ in range(STEPS):
    diffusion.train_step(pixels[torch.randint(len(pixels), (128,))])
pictures.save_png(pictures.grid(diffusion.ema.generate(64, seed=1)), "own_network.png")
