r"""Classifier-free guidance (Ho and Salimans, 2207.12598) and autoguidance (Karras et al., 2406.02507).

Both extrapolate from a worse prediction through a better one:

    x_0 = x_0(class) + (scale - 1) (x_0(class) - x_0(no class))     (2207.12598, eq. 6; scale = 1 + w)
    x_0 = x_0(network) + (scale - 1) (x_0(network) - x_0(weaker network))      (2406.02507, eq. 3)

A scale of 1 is no guidance. Above 1, classifier-free guidance makes images more typical of their class and less
varied; autoguidance reduces the errors that both networks share and keeps the variety.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple, TypeAlias

import torch

from unnoise.diffusion.tensors import Classes, Denoise, Images, Prediction, Rates
from unnoise.utils.errors import require

_EVERYWHERE = (0.0, 1e9)


@dataclass(frozen=True, kw_only=True)
class Guidance:
    """Scale, rescaling and noise levels of guidance.

    Args:
        scale: at least 0; 1 is no guidance.
        rescale: moves the standard deviation of each guided image back to that of the better prediction: 0 not
            at all, 1 completely; the paper advises 0.7 (2305.08891, eq. 15-16). Images with a large scale look
            overexposed without it.
        interval: guidance is used only where noise_rate / signal_rate is in this interval (2404.07724). At
            higher noise levels it reduces the variety, at lower ones it changes almost nothing.

    Raises:
        UnnoiseError: for values outside these ranges.
    """

    scale: float = 1.0
    rescale: float = 0.0
    interval: tuple[float, float] = _EVERYWHERE

    def __post_init__(self) -> None:
        require(self.scale >= 0, f"The guidance scale is at least 0, but got {self.scale:g}: try 2.")
        require(self.scale < math.inf, "The guidance scale is a finite number, but got inf: try 2.")
        require(
            0 <= self.rescale <= 1, f"The guidance rescale is from 0 to 1, but got {self.rescale:g}: try 0.7."
        )
        low, high = self.interval
        require(
            0 <= low < high,
            f"The guidance interval goes from a lower to a higher noise / signal, but got {low:g} to {high:g}.",
        )

    def applies(self, noise_rates: Rates, signal_rates: Rates) -> bool:
        """Whether guidance is used at this noise level, which is the same for all images of a step."""
        if self.scale == 1 or self.interval == _EVERYWHERE:
            return self.scale != 1  # without reading the rates, which would wait for the GPU
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
        name: of the weaker version, for people.
    """

    weak_denoise_for: Callable[..., Denoise]
    guidance: Guidance
    name: str = ""

    def called(self, **how: object) -> "Autoguidance":
        """The same, whose weaker denoiser is called in this way."""
        return self._replace(weak_denoise_for=partial(self.weak_denoise_for, **how))


def guided(better: Denoise, worse: Denoise, guidance: Guidance) -> Denoise:
    """The guided denoiser: extrapolates from `worse` through `better` by the scale of `guidance`.

    `worse` is called only at noise levels where guidance is used.
    """

    def wrapped(noisy_images: Images, noise_rates: Rates, signal_rates: Rates) -> Prediction:
        good = better(noisy_images, noise_rates, signal_rates)
        if not guidance.applies(noise_rates, signal_rates):
            return good
        bad = worse(noisy_images, noise_rates, signal_rates)
        images = torch.lerp(bad.images, good.images, guidance.scale)
        if guidance.rescale:
            spread, wanted = (x.std(dim=(1, 2, 3), keepdim=True) for x in (images, good.images))
            images = torch.lerp(images, images * (wanted / spread.clamp(min=1e-8)), guidance.rescale)
            noises = (noisy_images - signal_rates * images) / noise_rates.clamp(min=1e-4)
        else:
            noises = torch.lerp(bad.noises, good.noises, guidance.scale)
        return good._replace(noises=noises, images=images)

    return wrapped
