r"""Spherical interpolation (slerp) between noises.

For independent a, b with unit variance, Var(w_a a + w_b b) = w_a^2 + w_b^2. Linear interpolation has variance
1/2 in the middle, and pictures from such noise are washed out; spherical interpolation keeps the variance.
"""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from unnoise.diffusion.tensors import Classes, Frames, Images, Rates
from unnoise.utils.errors import require

_AT_ONCE = 64
"""Frames, so that a long animation takes no more memory than its frames."""


def slerp(start: Images, end: Images, fractions: Rates) -> Images:
    r"""Spherical linear interpolation (Shoemake 1985), by the actual angle w between the two noises.

        (sin((1 - f) w) start + sin(f w) end) / sin(w),      cos(w) = <start, end> / (|start| |end|)

    f = 0 gives `start`, f = 1 gives `end`. The angle is computed for each pair over (C, H, W). Where the two
    are parallel or opposite the great circle is not defined, and the interpolation is linear.

    Args:
        start, end: (B, C, H, W).
        fractions: f, (B, 1, 1, 1), from 0 to 1.
    """
    norms = [images.flatten(1).norm(dim=1).clamp(min=torch.finfo(images.dtype).tiny) for images in (start, end)]
    cosines = (start * end).flatten(1).sum(1) / (norms[0] * norms[1])
    angles = cosines.clamp(-1, 1).acos().view(-1, 1, 1, 1)
    sines = angles.sin()
    straight = sines < 2e-3  # in float32 a cosine near 1 has an error of 1e-7, and its angle of 5e-4
    sines = sines.where(~straight, torch.ones_like(sines))
    weights = ((1 - fractions) * angles).sin() / sines, (fractions * angles).sin() / sines
    return start * torch.where(straight, 1 - fractions, weights[0]) + end * torch.where(
        straight, fractions, weights[1]
    )


def path(noises: Images, frames: int, *, closed: bool = False) -> Frames:
    """Noises interpolated by `slerp` through N noises: (frames, C, H, W), evenly spaced, with both ends.

    Args:
        noises: (N, C, H, W).
        frames: how many noises are returned.
        closed: also from the last noises back to the first, without repeating the first: a loop for a GIF.

    Raises:
        UnnoiseError: for fewer than 2 noises or fewer frames than noises.
    """
    count = len(noises)
    require(count >= 2, f"A morph needs at least 2 seeds, but got {count}: name one more.")
    require(
        frames >= count,
        f"A morph through {count} noises needs at least {count} frames, but got {frames}: ask for more frames.",
    )
    first, fractions = _places(count, frames, closed=closed)
    first, fractions = first.to(noises.device), fractions.to(noises).view(-1, 1, 1, 1)
    made = noises.new_empty(frames, *noises.shape[1:])
    for begin in range(0, frames, _AT_ONCE):
        some = slice(begin, begin + _AT_ONCE)
        made[some] = slerp(noises[first[some]], noises[(first[some] + 1) % count], fractions[some])
    return made


def class_path(
    classes: Classes, num_classes: int, frames: int, *, closed: bool = False
) -> Float[Tensor, "frames shares"]:
    """Shares of the classes along the `path` through N pictures of these classes, (N,).

    Returns:
        (frames, num_classes + 1): the last column is the share of no class, and each row sums to 1.
    """
    first, fractions = _places(len(classes), frames, closed=closed)
    whole, first = functional.one_hot(classes, num_classes + 1).float(), first.to(classes.device)
    return torch.lerp(whole[first], whole[(first + 1) % len(classes)], fractions.to(whole)[:, None])


def _places(count: int, frames: int, *, closed: bool) -> tuple[Tensor, Tensor]:
    """After which of `count` ends each frame is, and how far on the way to the next."""
    legs = count if closed else count - 1
    positions = torch.arange(frames, dtype=torch.float64) * (legs / (frames if closed else frames - 1))
    first = positions.floor().long().clamp(max=legs - 1)
    return first, positions - first
