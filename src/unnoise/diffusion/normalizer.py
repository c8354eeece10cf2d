"""Normalisation of images to mean 0 and variance 1, and back.

Noise is added to normalised images, so the standard deviation sets the signal-to-noise ratio: dividing by r
times the true standard deviation changes the log-SNR by -2 ln r at every noise level.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from unnoise.diffusion.tensors import ResidentTable
from unnoise.utils.errors import UnnoiseError, require

_SMALLEST_STD = 1 / 255
"""The smallest standard deviation, of one grey level, for channels that are constant."""


_SLICE = 2**22
"""The number of values computed at once, which limits the memory."""


@dataclass(frozen=True)
class Normalizer:
    """Per-channel mean and standard deviation of images in [0, 1].

    Args:
        mean, std: one number for each channel (or one for all), in units of the range [0, 1].

    Raises:
        UnnoiseError: for different lengths, or a std that is not above 0 and finite.
    """

    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)

    def __post_init__(self) -> None:
        require(
            len(self.mean) == len(self.std) >= 1 and all(0 < value < float("inf") for value in self.std),
            "A Normalizer needs as many means as stds, each std above 0, but got "
            f"mean={self.mean} and std={self.std}.",
        )

    @classmethod
    def fit(cls, images: Tensor | Iterable[Tensor]) -> "Normalizer":
        """A normalizer with the mean and population standard deviation of each channel of these images.

        Args:
            images: (N, C, H, W), or an iterable of such batches of any size, so that the data set need not fit
                into memory; floats in [0, 1], or uint8 from 0 to 255.

        Means and squared deviations are merged batch by batch in float64 (Chan, Golub and LeVeque 1983). The
        result does not depend on the batches, except for rounding.

        Raises:
            UnnoiseError: when there are no images.
        """
        count, mean, squares = 0, torch.zeros(0), torch.zeros(0)
        for batch in _slices([images] if isinstance(images, Tensor) else images):
            values = batch.transpose(0, 1).flatten(1).cpu().double()
            if batch.dtype == torch.uint8:
                values = values / 255
            batch_mean = values.mean(1)
            batch_squares = (values - batch_mean[:, None]).square().sum(1)
            if not count:
                count, mean, squares = values.shape[1], batch_mean, batch_squares
                continue
            total, shift = count + values.shape[1], batch_mean - mean
            squares = squares + batch_squares + shift.square() * (count * values.shape[1] / total)
            mean, count = mean + shift * (values.shape[1] / total), total
        require(count > 0, "A Normalizer needs at least one image, but got none.")
        std = (squares / count).sqrt().clamp(min=_SMALLEST_STD)
        return cls(tuple(mean.tolist()), tuple(std.tolist()))

    @classmethod
    def of_sums(cls, count: int, sums: Sequence[int], squares: Sequence[int]) -> "Normalizer":
        """The same from integer sums of uint8 values, which are exact.

            mean = sum / (255 count),    std = sqrt(count squares - sum^2) / (255 count)

        Args:
            count: the number of values in each channel.
            sums, squares: for each channel, the sum of the values and that of their squares.
        """
        require(count > 0, "A Normalizer needs at least one image, but got none.")
        stds = (
            math.sqrt(count * square - total * total) / (255 * count)
            for total, square in zip(sums, squares, strict=True)
        )
        return cls(
            tuple(total / (255 * count) for total in sums), tuple(max(std, _SMALLEST_STD) for std in stds)
        )

    @classmethod
    def imagenet(cls, channels: int = 3) -> "Normalizer":
        """ImageNet's statistics: [0, 1] becomes about [-2.1, 2.6]. For 1 channel, the mean of the three.

        Raises:
            UnnoiseError: for other than 1 or 3 channels.
        """
        require(
            channels in (1, 3),
            f"ImageNet's statistics are for 1 or 3 channels, but got {channels}: use those of the data set.",
        )
        return cls((0.449,), (0.226,)) if channels == 1 else cls((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))

    @classmethod
    def symmetric(cls, channels: int = 1) -> "Normalizer":
        """2 x - 1: [0, 1] becomes [-1, 1]. The variance is then below 1, which shifts the log-SNR."""
        return cls((0.5,) * channels, (0.5,) * channels)

    def normalize(
        self,
        images: Float[Tensor, "*batch channels height width"] | UInt8[Tensor, "*batch channels height width"],
    ) -> Float[Tensor, "*batch channels height width"]:
        """Normalised images, (images - mean) / std: (..., C, H, W), floats in [0, 1] or uint8 from 0 to 255."""
        values = images.float() / 255 if images.dtype == torch.uint8 else images
        mean, std = self._statistics(values)
        return (values - mean) / std

    def denormalize(
        self, images: Float[Tensor, "*batch channels height width"]
    ) -> Float[Tensor, "*batch channels height width"]:
        """Images from normalised ones, mean + std * images clipped to [0, 1]: (..., C, H, W)."""
        mean, std = self._statistics(images)
        return (mean + std * images).clamp(0, 1)

    def _statistics(self, images: Tensor) -> tuple[Tensor, Tensor]:
        channels = images.shape[-3]
        if len(self.mean) not in (1, channels):
            raise UnnoiseError(
                f"This Normalizer has {len(self.mean)} channels, but the images have {channels}."
            )
        if images.device.type == "cpu":
            found = images.new_tensor((self.mean, self.std))
        else:
            found = self._resident[images.device, images.dtype]
        mean, std = found.view(2, -1, 1, 1)
        return mean, std

    @cached_property
    def _resident(self) -> ResidentTable:
        """Means and stds, (2, C)."""
        return ResidentTable(torch.tensor((self.mean, self.std), dtype=torch.float64))


def _slices(batches: Iterable[Tensor]) -> Iterator[Tensor]:
    """The same images, in batches of at most `_SLICE` values."""
    for batch in batches:
        if batch.numel():
            images = max(1, _SLICE // batch[0].numel())
            for first in range(0, len(batch), images):
                yield batch[first : first + images]
