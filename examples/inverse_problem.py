"""Inverse problem: pictures from a measurement y = A x, here one pixel in eight (MMPS, 2405.13712).

A is any linear map with its adjoint. `conditioned` makes a denoiser that knows y, and any sampler takes it.

    python examples/inverse_problem.py 3          trains for three minutes; writes inverse_problem.png
"""

import sys

import torch

import unnoise as un
from unnoise import pictures
from unnoise.diffusion.editing import conditioned
from unnoise.diffusion.samplers import ddim

MINUTES = float(sys.argv[1]) if len(sys.argv) > 1 else 3

run = un.train("digits", size=16, minutes=MINUTES, out="runs/inverse")
denoiser, digits = run.diffusion.ema, un.load("digits", size=16)
truth = denoiser.normalizer.normalize(digits.take(range(8)))
seen = (torch.rand(1, 1, 16, 16, generator=torch.Generator().manual_seed(1)) < 1 / 8).float()


class SeenPixels:
    """A x = the pixels that are seen; it is its own adjoint."""

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        return images * seen

    adjoint = __call__


known = conditioned(denoiser.denoise, SeenPixels(), SeenPixels()(truth))
for prediction in ddim(known, denoiser.noises(range(8))(), 30, denoiser.schedule):
    found = prediction.images
rows = [denoiser.normalizer.denormalize(one) for one in (truth, found)]
measured = rows[0].where(seen > 0, torch.tensor(0.5))
pictures.save_png(pictures.grid(torch.cat([rows[0], measured, rows[1]]), columns=8), "inverse_problem.png")
