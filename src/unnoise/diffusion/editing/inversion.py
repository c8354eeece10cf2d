r"""DDIM inversion: from images to the noises from which DDIM samples these images.

A DDIM step (2010.02502, eq. 12, eta = 0) goes from x at one time to x' at the next:

    x' = alpha' x_0(x) + sigma' eps(x)

The usual inversion (section 5.4 there; 2105.05233, appendix F) evaluates x_0 and eps at x' instead of x, which
is fast but inexact. Here the equation is solved for x, so that the same DDIM steps lead back to the image
(implicit inversion: 2312.12540, 2309.04907). With the exact denoiser of N(0, 1) the step is x' = (sigma sigma'
+ alpha alpha') x, hence the fixed-point iteration

    x <- x + (x' - alpha' x_0(x) - sigma' eps(x)) / (sigma sigma' + alpha alpha')

It is accelerated by Anderson's method (1965; Walker and Ni 2011, eq. 2.1).
"""

from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

import torch

from unnoise.diffusion.samplers import Times, rates_at, time_grid
from unnoise.diffusion.schedules import OffsetCosine, RatePair, Schedule
from unnoise.diffusion.tensors import Denoise, Images, PerImage, Rates
from unnoise.utils.errors import require

MEMORY = 2
"""The number of past differences that Anderson's method uses."""

_REGULAR = 1e-6
"""Regularisation of its least squares, which have no unique solution where the differences are parallel."""


class Inverted(NamedTuple):
    """The result of inverting one DDIM step.

    Args:
        noisy_images: (B, C, H, W); those of the last step are the noises.
        misfits: (B,), the error of the DDIM step from these noisy images (root mean square, normalised).
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
    """DDIM inversion: from images to the noises that DDIM with the same steps turns into these images.

    The first inverted step asks for the noisy image from which the last call of `denoise` predicts the given
    image. There is no exact solution for details that the denoiser removes (many with a schedule that ends at a
    noise rate of 0.31, as `OffsetCosine()` does; hardly any with one that ends without noise). The best
    approximation found is taken. All other steps are exact to the tolerance. A step takes three or four calls
    of `denoise`. Fewer, larger steps need fewer calls and are as exact, but their noises are less Gaussian.

    Args:
        denoise: separates noisy images into noises and images.
        images: (B, C, H, W), normalised.
        num_steps, schedule, times: as for `samplers.ddim`; sample with the same ones to get the images back.
        max_iterations: the largest number of calls of `denoise` in one step.
        tolerance: a step ends when the misfits of all images are at most this.

    Yields:
        `Inverted(noisy_images, misfits, calls)`, num_steps times, from the image to the noises.

    Raises:
        UnnoiseError: for fewer than 1 step or 1 iteration.
    """
    require(max_iterations >= 1, f"max_iterations must be at least 1, but got {max_iterations}: try 10.")
    grid = _grid_to_image(num_steps, schedule, times)
    noisy_images, calls = images, 0
    for step in reversed(range(num_steps)):
        # The yield is outside of no_grad: a mode set inside a generator would stay set for its caller.
        with torch.no_grad():
            found = _inverted_step(
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
    """The noises of images by DDIM inversion, (B, C, H, W): the last step of `invert`."""
    for step in invert(denoise, images, num_steps, schedule, times=times):
        noises = step.noisy_images
    return noises


def _grid_to_image(num_steps: int, schedule: Schedule, times: Times | None) -> RatePair:
    """The rates of `samplers.time_grid`, with noise 0 and signal 1 at the end.

    The result of a sampler is the image predicted by its last call, not x at t = 0. So the last step ends
    without noise, also on a schedule that has noise left at t = 0.
    """
    noise_rates, signal_rates = (rates.clone() for rates in time_grid(num_steps, schedule, times))
    noise_rates[-1], signal_rates[-1] = 0, 1
    return RatePair(noise_rates, signal_rates)


def _inverted_step(
    denoise: Denoise,
    target: Images,
    rates: tuple[Rates, Rates],
    next_rates: tuple[Rates, Rates],
    max_iterations: int,
    tolerance: float,
) -> Inverted:
    """The best iterate for the noisy images from which a DDIM step leads to `target` at `next_rates`."""
    (noise, signal), (next_noise, next_signal) = rates, next_rates
    cosines = noise * next_noise + signal * next_signal
    extrapolation = AndersonAcceleration()
    noisy_images = best = target
    smallest = target.new_full((len(target),), torch.inf)
    calls = 0
    while calls < max_iterations:
        calls += 1
        prediction = denoise(noisy_images, noise, signal)
        residual = target - next_signal * prediction.images - next_noise * prediction.noises
        misfits = residual.square().mean(dim=(1, 2, 3)).sqrt()
        best = torch.where((misfits < smallest).view(-1, 1, 1, 1), noisy_images, best)
        smallest = torch.minimum(misfits, smallest)
        if bool((smallest <= tolerance).all()):
            break
        noisy_images = extrapolation(noisy_images, residual / cosines)
    return Inverted(best, smallest, calls)


class AndersonAcceleration:
    """Anderson acceleration of the fixed-point iteration x <- x + f(x), for each image separately.

    It keeps the last `MEMORY` + 1 iterates (Walker and Ni 2011, eq. 2.1).
    """

    def __init__(self) -> None:
        self.places: deque[Images] = deque(maxlen=MEMORY + 1)
        self.moves: deque[Images] = deque(maxlen=MEMORY + 1)

    def __call__(self, place: Images, move: Images) -> Images:
        """The next x, (B, C, H, W), from the last x (`place`) and f(x) (`move`)."""
        self.places.append(place)
        self.moves.append(move)
        if len(self.places) == 1:
            return place + move
        # (B, C H W, differences)
        steps, changes = (
            torch.stack(tuple(seen), -1).diff(dim=-1).flatten(1, 3) for seen in (self.places, self.moves)
        )
        square = changes.mT @ changes
        size = square.diagonal(dim1=1, dim2=2).sum(1).clamp(min=torch.finfo(place.dtype).tiny)
        unit = torch.eye(square.shape[-1], dtype=place.dtype, device=place.device)
        system = (
            square / size.view(-1, 1, 1) + _REGULAR * unit,
            changes.mT @ move.flatten(1).unsqueeze(-1) / size.view(-1, 1, 1),
        )
        if place.device.type == "mps":  # which cannot solve in every version of PyTorch; these are small
            system = system[0].cpu(), system[1].cpu()
        weights = torch.linalg.solve(*system).to(place.device)
        next_place: Images = place + move - ((steps + changes) @ weights).view_as(place)
        return next_place
