r"""Grain: how much more fine detail samples have than pictures, and the polish that brings them nearest.

    c = log(1 + |x - m|)                        local contrast: x a value, m the mean of 3 x 3 around it

x is a byte, from 0 to 255. The distributions of c of samples and of pictures are compared by their Wasserstein
distance, the mean difference of their distribution functions. Grain makes low contrasts higher, blur makes high
ones lower; both make the distance larger.
"""

import math
from collections.abc import Callable
from typing import TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from unnoise.data.batches import Indices, Pictures, evenly_spread, in_chunks
from unnoise.diffusion.denoiser import Denoiser
from unnoise.diffusion.samplers import polish
from unnoise.diffusion.tensors import Classes, Images, SomePixels

Distribution: TypeAlias = Float[Tensor, " bins"]

LEVELS = (0.0, 0.03, 0.06, 0.12, 0.25, 0.5, 1.0, 2.0)
"""Noise / signal of the polish that are tried."""
_BINS, _HIGHEST = 512, math.log(256.0)
_PICTURES, _LOADED_VALUES = 500, 2**22
_NEAR = 0.1


def contrasts(pictures: SomePixels) -> Distribution:
    """The distribution function of the local contrasts of pictures, uint8 (B, C, H, W)."""
    values = pictures.float()
    means = functional.avg_pool2d(values, 3, stride=1, padding=1, count_include_pad=False)
    counts = torch.histc((values - means).abs().log1p().cpu(), _BINS, 0.0, _HIGHEST)
    return counts.cumsum(0) / counts.sum()


def contrasts_of(pictures: Pictures, indices: Indices) -> Distribution:
    """The same of the pictures at these indices, of which 500 evenly spread ones are enough."""
    chosen = evenly_spread(indices, _PICTURES)
    parts = [(len(some), contrasts(some)) for some in in_chunks(pictures, chosen, _LOADED_VALUES)]
    return torch.stack([count * part for count, part in parts]).sum(0) / len(chosen)


def contrast_distance(left: Distribution, right: Distribution) -> float:
    """The Wasserstein distance of two distributions of local contrasts: 0 where they are equal."""
    return float((left - right).abs().mean()) * _HIGHEST


def find_polish(
    images: Images, wanted: Distribution, polished: Callable[[float], Images]
) -> tuple[float, Images]:
    """The polish that brings local contrasts of samples near to those of pictures, and the polished samples.

    Levels are tried from 0 upwards. The highest one is taken at which the distance is within a tenth of the
    least, for there grain is gone while it hardly grows; none where it is least without polish.

    Args:
        images: samples in [0, 1], (B, C, H, W), without polish.
        wanted: the contrasts of pictures.
        polished: level -> the same samples polished, see `polished_samples`.
    """
    best, least, level, chosen = 0.0, math.inf, 0.0, images
    for tried in LEVELS:
        found = images if tried == 0 else polished(tried)
        distance = contrast_distance(contrasts((found * 255).round().clamp(0, 255).to(torch.uint8)), wanted)
        if distance > (1 + _NEAR) * least:
            break
        level, chosen = tried, found
        if distance < least:
            best, least = tried, distance
    return (level, chosen) if best > 0 else (0.0, images)


@torch.no_grad()
def polished_samples(denoiser: Denoiser, images: Images, classes: Classes | None, level: float) -> Images:
    """Samples in [0, 1], (B, C, H, W), polished: as `Sampling.polish` does at the end of drawing them."""
    there = denoiser.normalizer.normalize(images.to(denoiser.device))
    told = None if classes is None else classes.to(denoiser.device)
    made: Images = denoiser.normalizer.denormalize(polish(there, denoiser.denoise_for(told), level))
    return made.to(images.device)
