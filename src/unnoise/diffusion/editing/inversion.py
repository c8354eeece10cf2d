r"""DDIM without fresh noise is a map from noises to pictures; step by step it is undone, and leads back.

A step of DDIM (2010.02502, eq. 12, eta = 0) goes from x at one time to x' at the next:

    x' = alpha' x_0(x) + sigma' eps(x)

The usual inversion (section 5.4 there; 2105.05233, appendix F) takes x_0 and eps at x' instead of at x, which
is cheap and drifts. Here the equation is solved for x, since only then the same steps lead back exactly
(implicit inversion: 2312.12540, 2309.04907). With the exact denoiser of N(0, 1) the step is a rotation,
x' = (sigma sigma' + alpha alpha') x, so what is missing is divided by its cosine and added,

    x <- x + (x' - alpha' x_0(x) - sigma' eps(x)) / (sigma sigma' + alpha alpha')

and accelerated by Anderson's method (1965; Walker and Ni 2011, eq. 2.1), which extrapolates to where what is
missing would vanish.
"""

from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

import torch

from unnoise.diffusion.editing.walks import image_grid
from unnoise.diffusion.samplers import Times, rates_at
from unnoise.diffusion.schedules import OffsetCosine, Schedule
from unnoise.diffusion.tensors import Denoise, Images, PerImage, Rates
from unnoise.utils.errors import require

MEMORY = 2
"""How many differences Anderson's method looks back to."""

_REGULAR = 1e-6
"""Keeps its least squares solvable where the differences are parallel."""


class Inverted(NamedTuple):
    """What one step back leaves.

    Args:
        noisy_images: (B, C, H, W); of the last step, the noises that sampling starts from.
        misfits: (B,), by how much the step of DDIM from there misses where it should end (root mean square).
        calls: of `denoise`, in all steps so far.
    """

    noisy_images: Images
    misfits: PerImage
    calls: int


def invert(
    denoise: Denoise,
    images: Images,
    num_steps: int = 50,
    schedule: Schedule = OffsetCosine(),  # noqa: B008 (frozen)
    *,
    max_iterations: int = 10,
    tolerance: float = 3e-4,
    times: Times | None = None,
) -> Iterator[Inverted]:
    """From images to the noises that DDIM of the same steps turns into these images.

    The first step back solves "in which noisy image does the last call of `denoise` see this image?". It has
    no exact answer for details finer than the denoiser ever sees (much with the 0.31 of noise that the offset
    cosine of the book ends in, hardly any with a schedule that ends clean): then the nearest is taken that the
    iterations reach. All other steps have one, and are exact to the tolerance. It takes three calls of
    `denoise` a step, or four; fewer, larger steps cost fewer calls and lead back no less exactly, but their
    noises are less like noise.

    Args:
        denoise: separates noisy images into noises and images.
        images: (B, C, H, W), normalised.
        num_steps, schedule, times: as for `samplers.ddim`, which leads back with the same ones.
        max_iterations: calls of `denoise` in one step at most.
        tolerance: a step ends when no image misses by more (root mean square, normalised).

    Yields:
        `Inverted(noisy_images, misfits, calls)`, num_steps times, from the image on.

    Raises:
        UnnoiseError: for fewer than 1 step or 1 iteration.
    """
    require(max_iterations >= 1, f"Each step takes at least 1 iteration, but got {max_iterations}: try 10.")
    grid = image_grid(num_steps, schedule, times)
    noisy_images, calls = images, 0
    for step in reversed(range(num_steps)):
        # Not around the yield: a mode that is set inside a generator would leak to whoever it yields to.
        with torch.no_grad():
            found = _undo(
                denoise,
                noisy_images,
                rates_at(grid, step, images),
                rates_at(grid, step + 1, images),
                max_iterations,
                tolerance,
            )
        noisy_images, calls = found.noisy_images, calls + found.calls
        yield found._replace(calls=calls)


def inverted_noises(
    denoise: Denoise,
    images: Images,
    num_steps: int = 50,
    schedule: Schedule = OffsetCosine(),  # noqa: B008 (frozen)
    *,
    times: Times | None = None,
) -> Images:
    """Where `invert` ends: the noises, (B, C, H, W)."""
    for step in invert(denoise, images, num_steps, schedule, times=times):
        noises = step.noisy_images
    return noises


def _undo(
    denoise: Denoise,
    target: Images,
    rates: tuple[Rates, Rates],
    next_rates: tuple[Rates, Rates],
    max_iterations: int,
    tolerance: float,
) -> Inverted:
    """The noisy images at `rates` that DDIM brings to `target` at `next_rates`; the best of what was tried."""
    (noise, signal), (next_noise, next_signal) = rates, next_rates
    cosines = noise * next_noise + signal * next_signal
    extrapolation = _Extrapolation()
    noisy_images = best = target
    smallest = target.new_full((len(target),), torch.inf)
    calls = 0
    while calls < max_iterations:
        calls += 1
        prediction = denoise(noisy_images, noise, signal)
        missing = target - next_signal * prediction.images - next_noise * prediction.noises
        misfits = missing.square().mean(dim=(1, 2, 3)).sqrt()
        best = torch.where((misfits < smallest).view(-1, 1, 1, 1), noisy_images, best)
        smallest = torch.minimum(misfits, smallest)
        if bool((smallest <= tolerance).all()):
            break
        noisy_images = extrapolation(noisy_images, missing / cosines)
    return Inverted(best, smallest, calls)


class _Extrapolation:
    """Anderson's method for x <- x + f(x), each image for itself; remembers what it was shown."""

    def __init__(self) -> None:
        self.places: deque[Images] = deque(maxlen=MEMORY + 1)
        self.moves: deque[Images] = deque(maxlen=MEMORY + 1)

    def __call__(self, place: Images, move: Images) -> Images:
        """The next place, from the last one and from how far it wants to move."""
        self.places.append(place)
        self.moves.append(move)
        if len(self.places) == 1:
            return place + move
        # The differences stand in the last axis, behind all values of an image.
        steps, changes = (
            torch.stack(tuple(seen), -1).diff(dim=-1).flatten(1, 3) for seen in (self.places, self.moves)
        )
        square = changes.mT @ changes
        size = square.diagonal(dim1=1, dim2=2).sum(1).clamp(min=torch.finfo(place.dtype).tiny)
        unit = torch.eye(square.shape[-1], dtype=place.dtype, device=place.device)
        weights = torch.linalg.solve(
            square / size.view(-1, 1, 1) + _REGULAR * unit,
            changes.mT @ move.flatten(1).unsqueeze(-1) / size.view(-1, 1, 1),
        )
        next_place: Images = place + move - ((steps + changes) @ weights).view_as(place)
        return next_place
