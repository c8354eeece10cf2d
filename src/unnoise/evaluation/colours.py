"""Samples have the brightness, the contrast and the colours of the data, or a sentence says what they have."""

import math
from typing import NamedTuple, TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor

from unnoise.data.batches import Pictures
from unnoise.diffusion.tensors import SomePixels
from unnoise.evaluation.judges import Panel, spread
from unnoise.evaluation.metrics import ColourCheck, colours

SomeNumbers: TypeAlias = Float[Tensor, " _"]

VISIBLE = 0.02
"""Smaller differences, where 1 is that of black and white, are hardly seen."""

UNLIKELY = 3.0
"""Smaller differences, in standard errors, are chance."""

_AT_ONCE = 256
_NAMES = {2: ("grey", "alpha"), 3: ("red", "green", "blue"), 4: ("red", "green", "blue", "alpha")}


class Colours(NamedTuple):
    """What each channel of the samples has, beside the data's, by name; and what that comes to."""

    verdict: str
    channels: dict[str, ColourCheck]

    def plain(self) -> dict[str, object]:
        """As RUN/evaluation.json has it."""
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
    """What the channels of a picture are called."""
    return _NAMES.get(count, tuple(f"channel {n}" for n in range(1, count + 1)) if count > 1 else ("grey",))


def check_colours(samples: SomePixels, pictures: SomePixels) -> Colours:
    """Compares samples (N, C, H, W) with pictures (M, C, H, W), channel by channel and as a whole."""
    found = dict(zip(channel_names(samples.shape[1]), colours(samples, pictures), strict=True))
    seen = [name for name in found if name != "alpha"]
    ours, theirs = (_Tones.of(some[:, : len(seen)]) for some in (samples, pictures))
    said = _brightness(ours, theirs) + _contrast(ours, theirs) + _cast(found, seen, ours.mean - theirs.mean)
    numbers = f"mean {ours.mean:.2f} against {theirs.mean:.2f}, spread {ours.std:.2f} against {theirs.std:.2f}"
    alike = f"Samples have the brightness, contrast and colours of the data: {numbers}."
    return Colours(f"Samples {', and '.join(said)}." if said else alike, found)


def some_pixels(images: Pictures, panel: Panel, limit: int = 2_000) -> SomePixels:
    """Up to so many of the reference pictures, evenly spread."""
    return images.take(spread(panel.references, limit))


class _Tones(NamedTuple):
    """Mean and standard deviation of all values, 0 to 1, and their standard errors over pictures."""

    mean: float
    std: float
    mean_error: float
    std_error: float

    @classmethod
    def of(cls, pixels: SomePixels) -> "_Tones":
        parts = [_moments(pixels[i : i + _AT_ONCE]) for i in range(0, len(pixels), _AT_ONCE)]
        means, squares = (torch.cat(part) for part in zip(*parts, strict=True))
        mean = float(means.mean())
        # The variance is the mean over pictures of their squared distances from the common mean.
        variances = squares - 2 * mean * means + mean**2
        std = math.sqrt(max(float(variances.mean()), 0.0))
        return cls(mean, std, _error(means), _error(variances) / (2 * std) if std > 0 else 0.0)


def _moments(pixels: SomePixels) -> tuple[SomeNumbers, SomeNumbers]:
    """Of each picture, the mean of its values and of their squares."""
    values = pixels.float().flatten(1) / 255
    return values.mean(1), values.square().mean(1)


def _error(values: SomeNumbers) -> float:
    return float(values.std()) / math.sqrt(len(values)) if len(values) > 1 else math.inf


def _brightness(ours: _Tones, theirs: _Tones) -> list[str]:
    difference = ours.mean - theirs.mean
    if abs(difference) < max(VISIBLE, UNLIKELY * math.hypot(ours.mean_error, theirs.mean_error)):
        return []
    word = "brighter" if difference > 0 else "darker"
    return [f"are {word} than the data: mean {ours.mean:.2f} against {theirs.mean:.2f}"]


def _contrast(ours: _Tones, theirs: _Tones) -> list[str]:
    difference = ours.std - theirs.std
    if abs(difference) < max(VISIBLE, UNLIKELY * math.hypot(ours.std_error, theirs.std_error)):
        return []
    word = "more" if difference > 0 else "less"
    return [f"have {word} contrast than the data: spread {ours.std:.2f} against {theirs.std:.2f}"]


def _cast(found: dict[str, ColourCheck], seen: list[str], common: float) -> list[str]:
    """What a channel has too much or too little of, beyond all channels together."""
    if len(seen) == 1:
        return []
    beyond = {name: found[name].mean - found[name].other_mean - common for name in seen}
    name = max(beyond, key=lambda one: abs(beyond[one]))
    if abs(beyond[name]) < VISIBLE:
        return []
    word = "much" if beyond[name] > 0 else "little"
    return [f"have too {word} {name}: mean {found[name].mean:.2f} against {found[name].other_mean:.2f}"]
