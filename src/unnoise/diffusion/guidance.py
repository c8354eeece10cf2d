r"""Guidance asks twice, a better denoiser and a worse one, and goes further in the direction of the difference.

    x_0 = x_0(class) + (scale - 1) (x_0(class) - x_0(no class))     (2207.12598, eq. 6; scale = 1 + w)
    x_0 = x_0(network) + (scale - 1) (x_0(network) - x_0(weaker network))      (2406.02507, eq. 3)

scale 1 asks the better one only. Above it, the first makes pictures more typical of their class and more alike;
the second, autoguidance, takes away what training has not finished, and keeps their variety.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import torch

from unnoise.diffusion.tensors import Classes, Denoise, Images, Prediction, Rates
from unnoise.utils.errors import require

_EVERYWHERE = (0.0, 1e9)


@dataclass(frozen=True, kw_only=True)
class Guidance:
    """How far, and at which noise levels.

    Args:
        scale: see above; at least 0.
        rescale: brings the spread of each guided image back to that of the conditional one: 0 not at all, 1
            altogether, 0.7 is advised (2305.08891, eq. 15-16). Large scales look overexposed without it.
        interval: guides only where noise_rate / signal_rate lies in it (2404.07724): above, guidance costs
            variety; below, it changes nothing.

    Raises:
        UnnoiseError: for values outside these ranges.
    """

    scale: float = 1.0
    rescale: float = 0.0
    interval: tuple[float, float] = _EVERYWHERE

    def __post_init__(self) -> None:
        require(self.scale >= 0, f"The guidance scale is at least 0, but got {self.scale:g}: try 2.")
        require(0 <= self.rescale <= 1, f"The guidance rescale goes from 0 to 1, but got {self.rescale:g}.")
        low, high = self.interval
        require(
            0 <= low < high,
            f"A guidance interval goes from a smaller to a larger noise / signal, but got {low:g} to {high:g}.",
        )

    def applies(self, noise_rates: Rates, signal_rates: Rates) -> bool:
        """Whether there is anything to do at this noise level, which all images of a step share."""
        if self.scale == 1 or self.interval == _EVERYWHERE:
            return self.scale != 1  # without a look at the rates, for which a GPU would have to be waited for
        ratio = float(noise_rates.flatten()[0] / signal_rates.flatten()[0])
        low, high = self.interval
        return low <= ratio <= high


DenoiseFor: TypeAlias = Callable[[Classes | None], Denoise]
"""`classes -> Denoise`: the denoiser conditioned on these classes, (B,), or on none."""


class Autoguidance(NamedTuple):
    """Autoguidance by a weaker version of the same network (2406.02507).

    Args:
        weak_denoise_for: classes -> a denoiser with the same errors, but larger ones: one that was trained for
            less long, or that is smaller.
        guidance: scale, rescale and interval.
    """

    weak_denoise_for: DenoiseFor
    guidance: Guidance


def guided(better: Denoise, worse: Denoise, guidance: Guidance) -> Denoise:
    """A denoiser that goes from `worse` through `better` and beyond; `worse` is called only where it counts."""

    def wrapped(noisy_images: Images, noise_rates: Rates, signal_rates: Rates) -> Prediction:
        towards = better(noisy_images, noise_rates, signal_rates)
        if not guidance.applies(noise_rates, signal_rates):
            return towards
        away = worse(noisy_images, noise_rates, signal_rates)
        images = torch.lerp(away.images, towards.images, guidance.scale)
        if guidance.rescale:
            spread, wanted = (x.std(dim=(1, 2, 3), keepdim=True) for x in (images, towards.images))
            images = torch.lerp(images, images * (wanted / spread.clamp(min=1e-8)), guidance.rescale)
            noises = (noisy_images - signal_rates * images) / noise_rates.clamp(min=1e-4)
        else:
            noises = torch.lerp(away.noises, towards.noises, guidance.scale)
        return towards._replace(noises=noises, images=images)

    return wrapped
