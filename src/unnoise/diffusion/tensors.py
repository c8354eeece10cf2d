r"""One equation names every tensor: noisy_images = signal_rates * images + noise_rates * noises.

    x_t = \alpha_t x_0 + \sigma_t \epsilon,        \alpha_t^2 + \sigma_t^2 = 1

Everywhere in unnoise the noise comes first: `(noise_rates, signal_rates)`, `Prediction(noises, images)`.
A *rate* is a standard deviation; the *variance* is its square.
"""

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

from jaxtyping import Float, Int, UInt8
from torch import Tensor

Images: TypeAlias = Float[Tensor, "batch channels height width"]
"""A batch of pictures, noises or velocities: normalised, or in [0, 1] where a docstring says so."""

Trajectory: TypeAlias = Float[Tensor, "steps batch channels height width"]
"""The reverse process step by step, stacked."""

Frames: TypeAlias = Float[Tensor, "frames channels height width"]
"""Images of another number than those they were made from."""

Features: TypeAlias = Float[Tensor, "batch features height width"]
"""What a layer of a network takes in."""

NextFeatures: TypeAlias = Float[Tensor, "batch next_features height width"]
"""What it gives out, where the number of channels may change."""

Pixels: TypeAlias = UInt8[Tensor, "batch channels height width"]
"""Pictures as files hold them: 0 to 255."""

SomePixels: TypeAlias = UInt8[Tensor, "_ channels height width"]
"""Pixels in a list of batches, the last of which may be smaller."""

SomeClasses: TypeAlias = Int[Tensor, " _"]
"""Their classes."""

Rates: TypeAlias = Float[Tensor, "batch 1 1 1"]
"""One number for each image (a time, a rate), ready to multiply a batch of images."""

PerImage: TypeAlias = Float[Tensor, " batch"]
"""One number for each image, such as its loss."""

Scalar: TypeAlias = Float[Tensor, ""]

Classes: TypeAlias = Int[Tensor, " batch"]
"""The class of each image, 0 ... C - 1; C stands for none."""


class Prediction(NamedTuple):
    """The two components that a noisy image is separated into, each (B, C, H, W).

    `variances` is there where a network learned them: the place of the reverse step's log-variance between the
    smaller (0) and the larger (1) of the two that are known (Improved DDPM, 2102.09672, eq. 15).
    `uncertainties`, likewise, is the logarithm of the loss that the network expects, (B,).
    """

    noises: Images
    images: Images
    variances: Images | None = None
    uncertainties: PerImage | None = None


Denoise: TypeAlias = Callable[[Images, Rates, Rates], Prediction]
"""`(noisy_images, noise_rates, signal_rates) -> Prediction`. Any such callable can be sampled from."""


def in_float64(values: Tensor) -> Tensor:
    """The values in float64, on the CPU where their device has none (MPS)."""
    return (values.cpu() if values.device.type == "mps" else values).double()


def mix(images: Images, noises: Images, noise_rates: Rates, signal_rates: Rates) -> Images:
    """The one equation: signal_rates * images + noise_rates * noises (DDPM, 2006.11239, eq. 4)."""
    return signal_rates * images + noise_rates * noises
