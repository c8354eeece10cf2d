r"""No pixel lies outside the range of pixels, so a prediction that does is moved back, and its noises with it.

    x_0' = clip(x_0),      eps' = (x_t - alpha x_0') / sigma

Both wrap a denoiser and are one. Early in sampling predictions leave the range often; clipping them keeps a
chain of many small errors from drifting.
"""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from unnoise.diffusion.tensors import Denoise, Images, Prediction, Rates

Clip = Literal["none", "static", "dynamic"]
Bounds = tuple[Float[Tensor, "1 channels 1 1"], Float[Tensor, "1 channels 1 1"]]

_DYNAMIC_QUANTILE = 0.995


def thresholded(denoise: Denoise, bounds: Bounds, clip: Clip, *, rederive: bool = True) -> Denoise:
    """The same denoiser with predicted images inside [low, high] of each channel.

    Args:
        denoise: any denoiser.
        bounds: what black and white are after normalisation, each (1, C, 1, 1).
        clip: `static` cuts what lies outside. `dynamic` (Imagen, 2205.11487, section 2.3) first shrinks an
            image of which more than 0.5 % lies outside until only that much does, which keeps its contrast.
        rederive: computes the noises anew from the clipped images, so that both still mix to the noisy image.
    """
    if clip == "none":
        return denoise
    low, high = bounds

    def wrapped(noisy_images: Images, noise_rates: Rates, signal_rates: Rates) -> Prediction:
        prediction = denoise(noisy_images, noise_rates, signal_rates)
        lowest, highest = low.to(noisy_images), high.to(noisy_images)
        images = (
            prediction.images.clamp(lowest, highest)
            if clip == "static"
            else _dynamic(prediction.images, lowest, highest)
        )
        if not rederive:
            return prediction._replace(images=images)
        noises = (noisy_images - signal_rates * images) / noise_rates.clamp(min=1e-4)
        return prediction._replace(noises=noises, images=images)

    return wrapped


def _dynamic(images: Images, low: Tensor, high: Tensor) -> Images:
    middle, half = (high + low) / 2, (high - low) / 2
    centred = (images - middle) / half
    reach = torch.quantile(centred.abs().flatten(1).float(), _DYNAMIC_QUANTILE, dim=1).view(-1, 1, 1, 1)
    reach = reach.clamp(min=1).to(images)
    return middle + half * centred.clamp(-reach, reach) / reach
