r"""Tensor types, `Prediction`, `Denoise` and the one equation of the forward process.

    x_t = \alpha_t x_0 + \sigma_t \epsilon,        \alpha_t^2 + \sigma_t^2 = 1
    noisy_images = signal_rates * images + noise_rates * noises

The noise comes first everywhere: `(noise_rates, signal_rates)`, `Prediction(noises, images)`. A rate is a
standard deviation, and the variance is its square.
"""

from collections.abc import Callable
from typing import NamedTuple, Protocol, TypeAlias, runtime_checkable

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

Images: TypeAlias = Float[Tensor, "batch channels height width"]
"""A batch of images, noises or velocities: normalised, or in [0, 1] where a docstring says so."""

Trajectory: TypeAlias = Float[Tensor, "steps batch channels height width"]
"""The images at each step of the reverse process, stacked."""

Frames: TypeAlias = Float[Tensor, "frames channels height width"]
"""Images whose number differs from that of the images they are made from."""

Features: TypeAlias = Float[Tensor, "batch features height width"]
"""The input of a layer of a network."""

NextFeatures: TypeAlias = Float[Tensor, "batch next_features height width"]
"""The output of a layer that may change the number of channels."""

HiddenFeatures: TypeAlias = Float[Tensor, "batch _ height width"]
"""Features of any number beside those of an input and an output."""

Levels: TypeAlias = list[Float[Tensor, "batch _ _ _"]]
"""Features at several resolutions."""

Pixels: TypeAlias = UInt8[Tensor, "batch channels height width"]
"""Images as they are in files, from 0 to 255."""

SomePixels: TypeAlias = UInt8[Tensor, "_ channels height width"]
"""Pixels of one of several batches, which may differ in size."""

SomeClasses: TypeAlias = Int[Tensor, " _"]
"""The classes of `SomePixels`."""

Rates: TypeAlias = Float[Tensor, "batch 1 1 1"]
"""One number for each image (a time or a rate), in a shape that multiplies a batch of images."""

PerImage: TypeAlias = Float[Tensor, " batch"]
"""One number for each image, such as its loss."""

Scalar: TypeAlias = Float[Tensor, ""]

Classes: TypeAlias = Int[Tensor, " batch"] | Float[Tensor, "batch shares"]
"""The class of each image, 0 ... K - 1, and K for no class, (B,); or its share of each of these, (B, K + 1)."""


class Prediction(NamedTuple):
    """The noises and images that a denoiser predicts from noisy images, each (B, C, H, W).

    `variances`, of networks that learn them, are v of the reverse step's log-variance v log large +
    (1 - v) log small (Improved DDPM, 2102.09672, eq. 15). `uncertainties`, likewise, are the logarithm of the
    loss that the network expects, (B,) (EDM2, 2312.02696, eq. 21).
    """

    noises: Images
    images: Images
    variances: Images | None = None
    uncertainties: PerImage | None = None


Denoise: TypeAlias = Callable[[Images, Rates, Rates], Prediction]
"""`(noisy_images, noise_rates, signal_rates) -> Prediction`: what samplers call."""


class RatePair(NamedTuple):
    """Noise rates and signal rates: the standard deviations of the two parts of noisy images."""

    noise_rates: Rates
    signal_rates: Rates


@runtime_checkable
class Schedule(Protocol):
    """A noise schedule: diffusion times (B, 1, 1, 1) in [0, 1] -> `RatePair`."""

    def __call__(self, diffusion_times: Rates) -> RatePair:
        """Returns (noise_rates, signal_rates), each in the shape of the times."""
        ...


def mix(images: Images, noises: Images, noise_rates: Rates, signal_rates: Rates) -> Images:
    """Noisy images: signal_rates * images + noise_rates * noises (DDPM, 2006.11239, eq. 4)."""
    return signal_rates * images + noise_rates * noises


def log_snr(noise_rates: Rates, signal_rates: Rates) -> Rates:
    """The log signal-to-noise ratio (log-SNR), log(signal_rate^2 / noise_rate^2)."""
    return 2 * (signal_rates.log() - noise_rates.log())


def rates_of_log_snr(values: Rates) -> RatePair:
    """The inverse of `log_snr`: alpha^2 = sigmoid(log-SNR), sigma^2 = sigmoid(-log-SNR)."""
    return RatePair(torch.sigmoid(-values).sqrt(), torch.sigmoid(values).sqrt())


def moved(values: Tensor, device: torch.device) -> Tensor:
    """The values on a device, without waiting for the copy.

    MPS is waited for, because it might copy the values after their memory was freed.
    """
    return values.to(device, non_blocking=device.type != "mps")


def in_float64(values: Tensor) -> Tensor:
    """The values in float64, on the CPU if their device has no float64 (MPS)."""
    return (values.cpu() if values.device.type == "mps" else values).double()


class ResidentTable(dict[tuple[torch.device, torch.dtype], Tensor]):
    """A table of numbers with a copy on each device that reads it, made once: `table[device, dtype]`.

    A training step that copied it from the CPU would wait for the device each time.
    """

    def __init__(self, values: Tensor) -> None:
        super().__init__()
        self._values = values

    def __missing__(self, place: tuple[torch.device, torch.dtype]) -> Tensor:
        device, dtype = place
        with torch.inference_mode(False):  # training reads it, too
            copied = self._values.to(dtype).to(device)
        if type(copied) is Tensor:  # no fake one, which has a shape, but no values
            self[place] = copied
        return copied
