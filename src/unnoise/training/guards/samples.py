r"""Samples that lost their pictures or their colours are told from young ones by having been better before.

Of every set of pictures, samples or data, this much is compared:

    contrast      the standard deviation inside a picture and a channel: 0 where it is all one colour
    means, stds   of each channel over all pictures, and how far the means of single pictures are spread
    roughness     the squared difference of neighbours over 2 var: 1 for noise, far below for most pictures

A mean is shifted when it is visibly and unlikely far from the data's: in units of what the chance of so many
pictures explains.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from unnoise.data.batches import Indices, Pictures
from unnoise.diffusion.tensors import Images, SomePixels
from unnoise.training.guards.faults import Fault, Kind

_FLAT = 0.1
"""Less of the data's usual contrast than this is none."""

_FLAT_SHARE = 0.5
_SHIFT, _ERRORS = 0.15, 6.0
"""A channel's mean is off by so much, where 1 is from black to white, and by so many standard errors."""

_PALE, _HARSH = 0.3, 2.5
"""A channel's standard deviation is so many times the data's."""

_HEALTHY = 0.5
"""Samples are well where all is less than half as bad."""

_STILL = 0.02
"""A channel whose values differ less is all the same, and has no contrast to lose."""

_PROVEN = 2
"""So many times samples were well before it counts that they no longer are."""

_AT_ONCE = 64
_CHANNELS = {1: ("brightness",), 3: ("red", "green", "blue"), 4: ("red", "green", "blue", "alpha")}

PerChannel = Float[Tensor, " channels"]
PerPicture = Float[Tensor, " _"]


class Appearance(NamedTuple):
    """How a set of pictures looks, in numbers; values are from 0 to 1."""

    contrasts: PerPicture
    picture_means: Float[Tensor, "_ channels"]
    stds: PerChannel
    roughness: float

    @classmethod
    def of(cls, pictures: Images | SomePixels) -> "Appearance":
        """Of pictures (N, C, H, W): floats in [0, 1], or uint8."""
        parts = [_measured(pictures[i : i + _AT_ONCE]) for i in range(0, len(pictures), _AT_ONCE)]
        means, squares, variances, rough = (torch.cat(part) for part in zip(*parts, strict=True))
        stds = (squares.mean(0) - means.mean(0).square()).clamp(min=0).sqrt()
        inside = float(variances.mean())
        roughness = float(rough.mean()) / (2 * inside) if inside > 0 else 0.0
        return cls(variances.mean(1).sqrt(), means, stds, roughness)

    @property
    def means(self) -> PerChannel:
        """Of each channel."""
        return self.picture_means.mean(0)

    def share_below(self, contrast: float) -> float:
        """Of the pictures: those with less contrast."""
        return float((self.contrasts < contrast).double().mean())


def _measured(pictures: Images | SomePixels) -> tuple[Tensor, ...]:
    """Of each picture and channel (B, C): mean, mean square, variance; of each picture its roughness (B,)."""
    values = pictures.detach().cpu().double() / (1.0 if pictures.is_floating_point() else 255.0)
    flat = values.flatten(2)
    differences = [values.diff(dim=axis).square().flatten(1) for axis in (2, 3)]
    neighbours = torch.cat(differences, 1)
    rough = neighbours.mean(1) if neighbours.shape[1] else flat.new_zeros(len(flat))
    return flat.mean(2), flat.square().mean(2), flat.var(2, correction=0), rough


def references(pictures: Pictures, indices: Indices, num_classes: int, count: int = 256) -> SomePixels:
    """Pictures to hold samples against, evenly spread; of each class as many, as samples are drawn."""
    labels = pictures.labels if num_classes else None
    if labels is None:
        return pictures.take(_spread(indices, count))
    groups = [indices[labels[indices] == label] for label in range(num_classes)]
    each = max(1, count // num_classes)
    return pictures.take(np.concatenate([_spread(group, each) for group in groups if len(group)]))


def _spread(indices: Indices, count: int) -> Indices:
    places = np.linspace(0, len(indices) - 1, min(count, len(indices))).astype(np.int64)
    return np.asarray(indices[places])


class _Verdict(NamedTuple):
    healthy: bool
    kind: Kind | None = None
    seen: str = ""


def judge(samples: Images | SomePixels, data: Appearance) -> _Verdict:
    """How samples look beside the data; between healthy and faulty there is room for neither."""
    if not bool(torch.isfinite(samples).all()):
        return _Verdict(False, "collapsed samples", "The samples hold values that are no numbers")
    found = Appearance.of(samples)
    limit = _FLAT * float(data.contrasts.median())
    flat, usual = found.share_below(limit), data.share_below(limit)
    if flat - usual >= _FLAT_SHARE:
        empty = found.picture_means[found.contrasts < limit].mean(0)
        return _Verdict(False, "collapsed samples", f"{_share(flat)} samples became all {_colour(empty)}")
    shifts, said = _shifts(found, data)
    if shifts >= 1:
        return _Verdict(False, "colour shift", said)
    noise = found.roughness > (1 + data.roughness) / 2
    return _Verdict(not noise and max((flat - usual) / _FLAT_SHARE, shifts) <= _HEALTHY)


def _shifts(found: Appearance, data: Appearance) -> tuple[float, str]:
    """How much of what makes a fault the worst channel has, and what it has."""
    worst, said = 0.0, ""
    errors = (
        data.picture_means.std(0, correction=0) * (1 / len(found.contrasts) + 1 / len(data.contrasts)) ** 0.5
    )
    rows = torch.stack([found.means, data.means, errors, found.stds, data.stds], 1).tolist()
    for name, (mean, other, error, std, other_std) in zip(_names(len(rows)), rows, strict=True):
        shift = abs(mean - other) / max(_SHIFT, _ERRORS * error)
        if shift > worst:
            worst, said = shift, f"The samples' {name} shifted from the data's {other:.2f} to {mean:.2f}"
        if other_std < _STILL:
            continue
        ratio = std / other_std
        contrast = (1 - ratio) / (1 - _PALE) if ratio < 1 else (ratio - 1) / (_HARSH - 1)
        if contrast > worst:
            worst = contrast
            said = f"The samples' contrast in {name} became {ratio:.1f} times the data's"
    return worst, said


def _names(count: int) -> Sequence[str]:
    return _CHANNELS.get(count, [f"channel {place}" for place in range(1, count + 1)])


def _share(flat: float) -> str:
    return "All" if flat == 1 else f"{flat:.0%} of the"


def _colour(means: PerChannel) -> str:
    seen = means[:3] if len(means) in (3, 4) else means[:1]
    if float(seen.max()) < 0.1:
        return "black"
    if float(seen.min()) > 0.9:
        return "white"
    if float(seen.max() - seen.min()) < 0.1:
        return "grey"
    return "one colour (" + ", ".join(f"{n} {v:.2f}" for n, v in zip(_CHANNELS[3], seen, strict=True)) + ")"


class SampleWatch:
    """Looks at samples of the same seeds again and again.

    Args:
        data: what they are held against.
    """

    def __init__(self, data: Appearance) -> None:
        self.data = data
        self._healthy: list[int] = []
        self._collapsed = 0
        self._told = False

    def add(self, samples: Images | SomePixels, step: int, spent: float) -> Fault | None:
        """A fault where samples that were well the last times, at least twice, no longer are.

        Young networks give noise or grey, and nobody can say that going back would help: where samples never
        were well, though half of the budget is spent, that they are empty is only told, and once.
        """
        found = judge(samples, self.data)
        if found.healthy:
            self._healthy.append(step)
        self._collapsed = self._collapsed + 1 if found.kind == "collapsed samples" else 0
        if found.kind is None:
            return None
        if len(self._healthy) >= _PROVEN:
            return Fault(found.kind, found.seen, step=step, good=self._healthy[-1])
        if self._healthy or self._told or self._collapsed < 2 or spent < 0.5:
            return None
        self._told = True
        return Fault(found.kind, found.seen, step=step, good=None)
