"""Own schedule: any function from times to (noise rates, signal rates) whose squares add up to 1.

    noisy_images = signal_rates * images + noise_rates * noises

The sheet shows how noise grows along two schedules, the offset cosine and our own, and what ours has learned.

    python examples/own_schedule.py 1000          trains for 1,000 steps; writes own_schedule.png
"""

import sys

import torch

import unnoise as un
from unnoise import pictures
from unnoise.diffusion.tensors import RatePair, mix

STEPS = int(sys.argv[1]) if len(sys.argv) > 1 else 1000


def late_noise(times: torch.Tensor) -> RatePair:
    """Noise comes late: the angle grows with the square of the time, from 0.1 to 1.55 radians."""
    angles = 0.1 + 1.45 * times**2
    return RatePair(angles.sin(), angles.cos())


digits = un.load("digits", size=16)
pixels = digits.take(range(len(digits)))
diffusion = un.Diffusion(
    un.UNet(1, (32, 64)), (1, 16, 16), normalizer=un.Normalizer.fit(pixels), schedule=late_noise
)
for _ in range(STEPS):
    diffusion.train_step(pixels[torch.randint(len(pixels), (64,))])

image = diffusion.normalizer.normalize(pixels[:1].expand(10, -1, -1, -1))
times = torch.linspace(0, 1, 10).view(-1, 1, 1, 1)
noise = torch.randn(1, 1, 16, 16).expand_as(image)
forward = [mix(image, noise, *schedule(times)) for schedule in (un.OffsetCosine(), late_noise)]
shown = diffusion.normalizer.denormalize(torch.cat(forward))
pictures.save_png(pictures.grid(torch.cat([shown, diffusion.ema.generate(20)]), columns=10), "own_schedule.png")
