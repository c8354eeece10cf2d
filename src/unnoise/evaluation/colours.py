"""Colour report: brightness, contrast and colour cast of samples compared with the data."""

import math
from typing import NamedTuple, TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor

from unnoise.data.batches import Pictures
from unnoise.diffusion.tensors import SomePixels
from unnoise.evaluation.metrics import ChannelComparison, compare_channels
from unnoise.evaluation.reference_pictures import ReferencePictures, every_kth
from unnoise.utils.chunks import pictures_in

SomeNumbers: TypeAlias = Float[Tensor, " _"]

VISIBLE = 0.02
"""Smallest difference that counts; 1 is the difference between black and white."""

SIGNIFICANT = 3.0
"""Smallest difference that counts, in standard errors; smaller ones can be chance."""

_VALUES = 2**24
_NAMES = {2: ("grey", "alpha"), 3: ("red", "green", "blue"), 4: ("red", "green", "blue", "alpha")}


class ColourReport(NamedTuple):
    """Verdict on the colours of samples, and the comparison of each channel by name."""

    verdict: str
    channels: dict[str, ChannelComparison]

    def record(self) -> dict[str, object]:
        """The report as in RUN/evaluation.json."""
        rows = [
            {
                "name": name,
                "mean": found.mean,
                "std": found.std,
                "data_mean": found.other_mean,
                "data_std": found.other_std,
                "distance": found.distance,
            }
            for name, found in self.channels.items()
        ]
        return {"verdict": self.verdict, "channels": rows}


def channel_names(count: int) -> tuple[str, ...]:
    """Names of the channels of a picture."""
    return _NAMES.get(count, tuple(f"channel {n}" for n in range(1, count + 1)) if count > 1 else ("grey",))


def check_colours(samples: SomePixels, pictures: SomePixels) -> ColourReport:
    """Colour report of samples (N, C, H, W) compared with pictures (M, C, H, W)."""
    found = dict(zip(channel_names(samples.shape[1]), compare_channels(samples, pictures), strict=True))
    seen = [name for name in found if name != "alpha"]
    ours, theirs = (_Tones.of(some[:, : len(seen)]) for some in (samples, pictures))
    findings = _brightness(ours, theirs) + _contrast(ours, theirs) + _cast(found, seen, ours.mean - theirs.mean)
    numbers = f"mean {ours.mean:.2f} against {theirs.mean:.2f}, spread {ours.std:.2f} against {theirs.std:.2f}"
    alike = f"Samples have the brightness, contrast and colours of the data: {numbers}."
    return ColourReport(f"Samples {', and '.join(findings)}." if findings else alike, found)


def reference_pixels(images: Pictures, references: ReferencePictures, limit: int = 2_000) -> SomePixels:
    """At most `limit` reference pictures, evenly spread, (M, C, H, W)."""
    return images.take(every_kth(references.indices, limit))


class _Tones(NamedTuple):
    """Mean and standard deviation of all values, from 0 to 1, and their standard errors over pictures."""

    mean: float
    std: float
    mean_error: float
    std_error: float

    @classmethod
    def of(cls, pixels: SomePixels) -> "_Tones":
        parts = [_moments(chunk) for chunk in torch.split(pixels, pictures_in(_VALUES, pixels.shape[1:]))]
        means, squares = (torch.cat(part) for part in zip(*parts, strict=True))
        mean = float(means.mean())
        # The variance is the mean over pictures of their mean squared distances from the common mean.
        variances = squares - 2 * mean * means + mean**2
        std = math.sqrt(max(float(variances.mean()), 0.0))
        return cls(mean, std, _error(means), _error(variances) / (2 * std) if std > 0 else 0.0)


def _moments(pixels: SomePixels) -> tuple[SomeNumbers, SomeNumbers]:
    """The mean of the values of each picture, and of their squares."""
    values = pixels.float().flatten(1) / 255
    return values.mean(1), values.square().mean(1)


def _error(values: SomeNumbers) -> float:
    return float(values.std()) / math.sqrt(len(values)) if len(values) > 1 else math.inf


def _brightness(ours: _Tones, theirs: _Tones) -> list[str]:
    difference = ours.mean - theirs.mean
    if abs(difference) < max(VISIBLE, SIGNIFICANT * math.hypot(ours.mean_error, theirs.mean_error)):
        return []
    word = "brighter" if difference > 0 else "darker"
    return [f"are {word} than the data: mean {ours.mean:.2f} against {theirs.mean:.2f}"]


def _contrast(ours: _Tones, theirs: _Tones) -> list[str]:
    difference = ours.std - theirs.std
    if abs(difference) < max(VISIBLE, SIGNIFICANT * math.hypot(ours.std_error, theirs.std_error)):
        return []
    word = "more" if difference > 0 else "less"
    return [f"have {word} contrast than the data: spread {ours.std:.2f} against {theirs.std:.2f}"]


def _cast(found: dict[str, ChannelComparison], seen: list[str], common: float) -> list[str]:
    """The channel that differs most, after subtracting the difference in brightness."""
    if len(seen) == 1:
        return []
    beyond = {name: found[name].mean - found[name].other_mean - common for name in seen}
    name = max(beyond, key=lambda one: abs(beyond[one]))
    if abs(beyond[name]) < VISIBLE:
        return []
    word = "much" if beyond[name] > 0 else "little"
    return [f"have too {word} {name}: mean {found[name].mean:.2f} against {found[name].other_mean:.2f}"]
