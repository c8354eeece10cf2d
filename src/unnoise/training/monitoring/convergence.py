r"""A run has converged when nothing that is measured has improved for a while: a part of its age, not a number.

A diffusion model improves ever more slowly, so that no fixed number of steps fits both a run of minutes and
one of days. Here a run of age s has converged when for every curve

    s >= (1 + patience) s_best

with s_best the step of its lowest value. As everything is measured with the same random numbers each time, a
curve's ups and downs are the model's, not those of the draw. While a model still learns, its held-out loss
falls from one measure to the next: that keeps a run going whose samples happen to look no better.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

PATIENCE = 0.12
"""A stop then comes at most a quarter after the best step, if measures are at most a tenth of it apart."""

_FEWEST = 3
"""Measures of a curve: with fewer, nothing is known of where it goes."""


class Point(NamedTuple):
    """A value that is better the lower it is."""

    step: int
    value: float


def best(curve: Sequence[Point]) -> Point | None:
    """The lowest value, the first of several; None of an empty curve."""
    return min(curve, key=lambda point: point.value, default=None)


def converged(curves: Mapping[str, Sequence[Point]], patience: float = PATIENCE) -> str | None:
    """One sentence where no curve improves any more, else None.

    Curves without any point are not asked; without any curve there is no answer.
    """
    measured = {name: curve for name, curve in curves.items() if curve}
    if not measured:
        return None
    parts = []
    for name, curve in measured.items():
        lowest = best(curve)
        assert lowest is not None
        if len(curve) < _FEWEST or curve[-1].step < (1 + patience) * lowest.step:
            return None
        parts.append(f"{name} was lowest at step {lowest.step:,} ({lowest.value:.4g})")
    last = max(curve[-1].step for curve in measured.values())
    return f"Converged: {', '.join(parts)}, and nothing has improved until step {last:,}."
