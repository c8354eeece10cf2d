r"""Convergence of a run: neither its samples nor its held-out loss improve any more.

A diffusion model improves ever more slowly, so no fixed number of steps fits both a run of minutes and one of
days: the patience is a fraction of the steps so far. A run of s steps has converged when for every curve

    s >= (1 + patience) s_best

with s_best the step of its lowest value. Each measurement uses the same random numbers, so the ups and downs of
a curve come from the model. While a model learns, its held-out loss falls from one measurement to the next,
which keeps a run going whose samples happen to look no better.
"""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from unnoise.runs.history import LevelRow, QualityRow

PATIENCE = 0.12
"""A run then stops at most a quarter after its best step, if measurements are at most a tenth of it apart."""

MAX_COPIED = 0.05
"""A larger share of copies among the samples than this is not chance."""

_FEWEST = 3
"""Points of a curve, below which its direction is not known."""


class CurvePoint(NamedTuple):
    """A measurement at a step; lower is better."""

    step: int
    value: float


def lowest(curve: Sequence[CurvePoint]) -> CurvePoint | None:
    """The point with the lowest value, the first of several; None for an empty curve."""
    return min(curve, key=lambda point: point.value, default=None)


def converged(curves: Mapping[str, Sequence[CurvePoint]], patience: float = PATIENCE) -> str | None:
    """One sentence where no curve improves any more, else None.

    Curves without points are left out; without any curve the answer is None.
    """
    measured = {name: curve for name, curve in curves.items() if curve}
    if not measured:
        return None
    parts = []
    for name, curve in measured.items():
        best = lowest(curve)
        assert best is not None
        if len(curve) < _FEWEST or curve[-1].step < (1 + patience) * best.step:
            return None
        parts.append(f"{name} was lowest at step {best.step:,} ({best.value:.4g})")
    last = max(curve[-1].step for curve in measured.values())
    return f"Converged: {', '.join(parts)}, and nothing has improved until step {last:,}."


def convergence_reason(rows: Sequence[QualityRow], levels: Sequence[LevelRow]) -> str | None:
    """One sentence where neither the samples nor the held-out loss improve any more, else None.

    Both count: a network that memorises gets worse on held-out pictures while its samples still get better, and
    one that learns slowly shows it in the held-out loss first.
    """
    return converged({"KID": kernel_curve(rows), "the held-out loss": held_out_curve(levels)})


def best_step(rows: Sequence[QualityRow]) -> int:
    """The step with the lowest kernel distance among those whose samples are not copies."""
    best = lowest(kernel_curve(rows))
    assert best is not None
    return best.step


def kernel_curve(rows: Sequence[QualityRow]) -> list[CurvePoint]:
    """Kernel distances by step; infinite where samples are copies, unless they are at every step.

    Memorised pictures are as near to held-out ones as any real pictures: the kernel distance cannot tell that
    the network draws nothing new.
    """
    if all(row.copied > MAX_COPIED for row in rows):
        return [CurvePoint(row.step, row.kid) for row in rows]
    return [CurvePoint(row.step, row.kid if row.copied <= MAX_COPIED else math.inf) for row in rows]


def held_out_curve(levels: Sequence[LevelRow]) -> list[CurvePoint]:
    """Held-out loss by step: the mean over the noise levels."""
    losses: dict[int, list[float]] = {}
    for row in levels:
        losses.setdefault(row.step, []).append(row.loss)
    return [CurvePoint(step, sum(each) / len(each)) for step, each in losses.items()]
