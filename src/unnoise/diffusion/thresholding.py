r"""Static and dynamic thresholding: clipping predicted images to the range of pixels.

    x_0' = clip(x_0),      eps' = (x_t - alpha x_0') / sigma

Early in sampling predictions are often outside the range; clipping keeps errors from adding up over many steps.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from unnoise.diffusion.sampler_names import Clip
from unnoise.diffusion.tensors import Denoise, Images, Prediction, Rates

Bounds = tuple[Float[Tensor, "1 channels 1 1"], Float[Tensor, "1 channels 1 1"]]
"""Normalised black and white of each channel."""

_DYNAMIC_QUANTILE = 0.995


def thresholded(denoise: Denoise, bounds: Bounds, clip: Clip, *, rederive: bool = True) -> Denoise:
    """A denoiser with thresholding: the predicted images are within the bounds of each channel.

    Args:
        denoise: any denoiser.
        bounds: normalised black and white, each (1, C, 1, 1).
        clip: `none`; `static` clips each value; `dynamic` (Imagen, 2205.11487, section 2.3) first scales images
            with more than 0.5 % of their values outside, so that 0.5 % are clipped, which keeps the contrast.
            `images` is `static` without `rederive`, as DDIM of diffusers clips by default.
        rederive: recomputes the noises from the clipped images, so that both still mix to the noisy images.
    """
    if clip == "none":
        return denoise
    low, high = bounds

    def wrapped(noisy_images: Images, noise_rates: Rates, signal_rates: Rates) -> Prediction:
        prediction = denoise(noisy_images, noise_rates, signal_rates)
        lowest, highest = low.to(noisy_images), high.to(noisy_images)
        images = (
            _dynamic(prediction.images, lowest, highest)
            if clip == "dynamic"
            else prediction.images.clamp(lowest, highest)
        )
        if clip == "images" or not rederive:
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
