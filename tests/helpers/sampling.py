"""Walks of samplers to their end, and times and rates as columns."""

import torch

from unnoise.diffusion.tensors import mix


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
