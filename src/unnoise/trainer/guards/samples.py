r"""Sample check: finds samples that collapsed to one colour, or whose colours shifted away from the data's.

Compared are, for a set of pictures, samples or data:

    contrast      standard deviation inside a picture and a channel: 0 for a picture of one colour
    means, stds   of each channel over all pictures, and the spread of the means of single pictures
    roughness     squared difference of neighbours over 2 var: 1 for noise, far below for most pictures

A shift of a mean counts where it is both visible and unlikely, in units of its standard error. Samples of a
young network look as bad: only samples that were better before are a fault.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from unnoise.data.batches import Indices, Pictures, evenly_spread
from unnoise.diffusion.tensors import Images, SomePixels
from unnoise.trainer.guards.faults import Fault, FaultKind
from unnoise.utils.chunks import pictures_in

_FLAT = 0.1
"""A picture with less than this share of the data's usual contrast is flat."""

_FLAT_SHARE = 0.5
_BY_CHANCE = 1e-4
"""So many flat pictures are a fault only if chance gives as many with a lower probability than this: a small
sheet has few pictures, so their share alone says little."""

_SHIFT, _ERRORS = 0.15, 6.0
"""A mean has shifted by this much, where 1 is from black to white, and by this many standard errors."""

_PALE, _HARSH = 0.3, 2.5
"""A channel's standard deviation, as a multiple of the data's, that is too low or too high."""

_MANY = 12
"""Fewer pictures may have another contrast than the data by chance."""

_HEALTHY = 0.5
"""Samples are healthy where every measure is below this share of its limit."""

_CONSTANT = 0.02
"""A channel of the data with a lower standard deviation is constant, and has no contrast to lose."""

_HEALTHY_BEFORE = 2
"""Times that samples were healthy before it counts that they no longer are."""

_VALUES = 2**22
"""Values that are looked at once, in float64."""
_CHANNELS = {1: ("brightness",), 3: ("red", "green", "blue"), 4: ("red", "green", "blue", "alpha")}

PerChannel = Float[Tensor, " channels"]
PerPicture = Float[Tensor, " _"]


class Appearance(NamedTuple):
    """Statistics of a set of pictures, with values from 0 to 1."""

    contrasts: PerPicture
    picture_means: Float[Tensor, "_ channels"]
    stds: PerChannel
    roughness: float

    @classmethod
    def of(cls, pictures: Images | SomePixels) -> "Appearance":
        """The statistics of pictures (N, C, H, W): floats in [0, 1], or uint8."""
        chunks = torch.split(pictures, pictures_in(_VALUES, pictures.shape[1:]))
        parts = [_measured(chunk) for chunk in chunks]
        means, squares, variances, rough = (torch.cat(part) for part in zip(*parts, strict=True))
        stds = (squares.mean(0) - means.mean(0).square()).clamp(min=0).sqrt()
        inside = float(variances.mean())
        roughness = float(rough.mean()) / (2 * inside) if inside > 0 else 0.0
        return cls(variances.mean(1).sqrt(), means, stds, roughness)

    @property
    def means(self) -> PerChannel:
        """Mean of each channel."""
        return self.picture_means.mean(0)

    def share_below(self, contrast: float) -> float:
        """Share of the pictures with less contrast than this."""
        return float((self.contrasts < contrast).double().mean())


def _measured(pictures: Images | SomePixels) -> tuple[Tensor, ...]:
    """Of each picture and channel (B, C): mean, mean square, variance; of each picture its roughness (B,)."""
    values = pictures.detach().cpu().double() / (1.0 if pictures.is_floating_point() else 255.0)
    flat = values.flatten(2)
    differences = [values.diff(dim=axis).square().flatten(1) for axis in (2, 3)]
    neighbours = torch.cat(differences, 1)
    rough = neighbours.mean(1) if neighbours.shape[1] else flat.new_zeros(len(flat))
    return flat.mean(2), flat.square().mean(2), flat.var(2, correction=0), rough


def reference_pictures(pictures: Pictures, indices: Indices, num_classes: int, count: int = 256) -> SomePixels:
    """Pictures to compare samples with, evenly spread, and as many of each class, as samples are drawn."""
    labels = pictures.labels if num_classes else None
    if labels is None:
        return pictures.take(evenly_spread(indices, count))
    groups = [indices[labels[indices] == label] for label in range(num_classes)]
    each = max(1, count // num_classes)
    return pictures.take(np.concatenate([evenly_spread(group, each) for group in groups if len(group)]))


class Look(NamedTuple):
    """A look at samples: `healthy`, `faulty`, or `unclear`, as those of young networks are."""

    step: int
    num_steps: int
    """Steps of the sampler."""
    verdict: str


class _Judgement(NamedTuple):
    healthy: bool
    kind: FaultKind | None = None
    cause: str = ""


def _judge(samples: Images | SomePixels, data: Appearance) -> _Judgement:
    """Compares samples with the data; samples may be neither healthy nor faulty."""
    if not bool(torch.isfinite(samples).all()):
        return _Judgement(False, "collapsed samples", "Samples hold NaN or infinity")
    found = Appearance.of(samples)
    limit = _FLAT * float(data.contrasts.median())
    flat, usual = found.share_below(limit), data.share_below(limit)
    if flat - usual >= _FLAT_SHARE and _chance_of(flat, usual, found, data) < _BY_CHANCE:
        empty = found.picture_means[found.contrasts < limit].mean(0)
        return _Judgement(False, "collapsed samples", f"{_share(flat)} samples became all {_colour(empty)}")
    shifts, said = _shifts(found, data)
    if shifts >= 1:
        return _Judgement(False, "colour shift", said)
    noise = found.roughness > (1 + data.roughness) / 2
    return _Judgement(not noise and max((flat - usual) / _FLAT_SHARE, shifts) <= _HEALTHY)


def _chance_of(flat: float, usual: float, found: Appearance, data: Appearance) -> float:
    """Probability that as large a share of the samples is flat by chance: a binomial tail.

    The data's share is that of a sample of them, so it is estimated by Laplace's rule of succession.
    """
    count, references = len(found.contrasts), len(data.contrasts)
    rate = (usual * references + 1) / (references + 2)
    flats = range(round(flat * count), count + 1)
    return sum(math.comb(count, k) * rate**k * (1 - rate) ** (count - k) for k in flats)


def _shifts(found: Appearance, data: Appearance) -> tuple[float, str]:
    """The worst channel: its shift or change of contrast as a share of the limit, and a sentence about it."""
    worst, said = 0.0, ""
    errors = (
        data.picture_means.std(0, correction=0) * (1 / len(found.contrasts) + 1 / len(data.contrasts)) ** 0.5
    )
    rows = torch.stack([found.means, data.means, errors, found.stds, data.stds], 1).tolist()
    for name, (mean, other, error, std, other_std) in zip(_names(len(rows)), rows, strict=True):
        shift = abs(mean - other) / max(_SHIFT, _ERRORS * error)
        if shift > worst:
            worst, said = shift, f"The samples' {name} shifted from the data's {other:.2f} to {mean:.2f}"
        if other_std < _CONSTANT:
            continue
        ratio = std / other_std
        contrast = (1 - ratio) / (1 - _PALE) if ratio < 1 else (ratio - 1) / (_HARSH - 1)
        if len(found.contrasts) < _MANY:
            contrast = min(contrast, 0.99)
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


class SampleCheck:
    """Checks samples of the same seeds again and again.

    Args:
        data: statistics of the pictures that they are compared with.
        looks: earlier looks of this run, the oldest first.
    """

    def __init__(self, data: Appearance, looks: Sequence[Look] = ()) -> None:
        self.data = data
        self.looks = list(looks)
        self._collapsed = 0
        self._reported = False

    @property
    def sound_step(self) -> int | None:
        """The last step at which samples were healthy or, while they never were, not faulty."""
        wanted = "healthy" if any(look.verdict == "healthy" for look in self.looks) else "unclear"
        return max((look.step for look in self.looks if look.verdict == wanted), default=None)

    def forget_after(self, step: int) -> None:
        """Forgets looks after this step, when the run continues from there again."""
        self.looks = [look for look in self.looks if look.step <= step]

    def add(self, samples: Images | SomePixels, step: int, spent: float, num_steps: int = 0) -> Fault | None:
        """Returns a fault where samples that were healthy before, at least twice, no longer are.

        Samples of fewer steps look worse, so only healthy ones of no more steps than these count as before.
        Young networks draw noise or grey, and going back would not help. Where samples never were healthy when
        half of the budget is spent, a collapse is reported once, as a fault without a last good step.
        """
        found = _judge(samples, self.data)
        healthy = [look for look in self.looks if look.verdict == "healthy"]
        before = self.sound_step
        self.looks.append(Look(step, num_steps, _verdict(found)))
        self._collapsed = self._collapsed + 1 if found.kind == "collapsed samples" else 0
        if found.kind is None:
            return None
        if sum(look.num_steps <= num_steps for look in healthy) >= _HEALTHY_BEFORE:
            return Fault(found.kind, found.cause, step=step, last_good_step=before)
        if healthy or self._reported or self._collapsed < 2 or spent < 0.5:
            return None
        self._reported = True
        return Fault(found.kind, found.cause, step=step, last_good_step=None)


def _verdict(found: _Judgement) -> str:
    return "healthy" if found.healthy else "unclear" if found.kind is None else "faulty"
