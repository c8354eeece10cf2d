"""A chart in a page is vectors in the page's own colours: light on dark, dark on light, sharp at any size."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

from unnoise.pictures.charts import spread_apart
from unnoise.reports.figures import number
from unnoise.reports.scales import Scale, fitted

Weight: TypeAlias = Literal["strong", "plain", "pale"]

SERIES = 8
"""So many colours of curves has the page's style sheet; further curves begin again."""

_LETTER = 6.7  # pixels of a letter in a label, about
_LINE = 15.0  # pixels from one line of a label to the next
_MOST_POINTS = 400


@dataclass(frozen=True)
class Line:
    """A curve through (x, y), and an interval (low, high) at each of its points where these are known.

    Args:
        name: written at its end, with its last value; a curve without a name has no label.
        points: (x, y); what is not finite is left out.
        series: which colour.
        weight: strong is what matters, pale lies behind.
        dots: each point is a measurement on its own.
        band: (low, high) at each point, or None.
        ringed: the number of the point that is marked.
    """

    name: str
    points: tuple[tuple[float, float], ...]
    series: int = 0
    weight: Weight = "plain"
    dots: bool = False
    band: tuple[tuple[float, float] | None, ...] = ()
    ringed: int | None = None


@dataclass(frozen=True)
class Panel:
    """Curves over one pair of axes, each with its unit in its title."""

    x_title: str
    y_title: str
    lines: tuple[Line, ...]
    x_text: Callable[[float], str] = number
    y_text: Callable[[float], str] = number
    from_zero: bool = False
    """The horizontal axis begins at 0, as time does."""
    log: bool = True
    """The vertical axis may be logarithmic, where the numbers ask for it."""


class Tick(NamedTuple):
    """A place on an axis, in pixels, and what is written there."""

    place: float
    text: str


class Dot(NamedTuple):
    """A measurement, in pixels."""

    x: float
    y: float
    ringed: bool


class Curve(NamedTuple):
    """A line in pixels: the d of its path, that of its band, its dots, and its label."""

    series: int
    weight: Weight
    path: str
    band: str
    dots: list[Dot]


class EndLabel(NamedTuple):
    """What stands beside a curve's end: its name, its last value, and where the name's line is, in pixels."""

    text: str
    value: str
    y: float
    series: int
    weight: Weight


@dataclass(frozen=True)
class Drawn:
    """A panel in pixels, as the template writes it down."""

    width: float
    height: float
    left: float
    top: float
    right: float
    bottom: float
    x_ticks: list[Tick]
    y_ticks: list[Tick]
    x_title: str
    y_title: str
    curves: list[Curve]
    labels: list[EndLabel]


def draw(panel: Panel, width: float, height: float) -> Drawn | None:
    """Lays a panel out on so many pixels; None where there is nothing finite to draw."""
    lines = [line for line in map(_finite, panel.lines) if line.points]
    if not lines:
        return None
    xs = [x for line in lines for x, _ in line.points]
    ys = [y for line in lines for _, y in line.points]
    ys += [y for line in lines for pair in line.band if pair for y in pair]
    top, bottom = 30.0, height - 44.0
    vertical = fitted(ys, bottom, top, margin=0.05, log=panel.log)
    y_ticks = [Tick(vertical.place(tick), panel.y_text(tick)) for tick in vertical.ticks(int(height / 48))]
    left = 12.0 + _LETTER * max((len(tick.text) for tick in y_ticks), default=1)
    names = [(_shortened(line.name, width), panel.y_text(line.points[-1][1])) for line in lines if line.name]
    room = _LETTER * max((len(text) for pair in names for text in pair), default=0)
    right = width - 16.0 - room
    horizontal = fitted([0.0, *xs] if panel.from_zero else xs, left, right)
    x_ticks = [
        Tick(horizontal.place(tick), panel.x_text(tick)) for tick in horizontal.ticks(int((right - left) / 56))
    ]
    return Drawn(  # in the order of its fields
        *(width, height, left, top, right, bottom, x_ticks, y_ticks, panel.x_title, panel.y_title),
        curves=[_curve(line, horizontal, vertical) for line in lines],
        labels=_labels(lines, names, vertical),
    )


def _finite(line: Line) -> Line:
    kept = [place for place, point in enumerate(line.points) if all(map(math.isfinite, point))]
    band = tuple(_known(line.band[place]) for place in kept) if line.band else ()
    ringed = kept.index(line.ringed) if line.ringed in kept else None
    points = tuple(line.points[place] for place in kept)
    return Line(line.name, points, line.series, line.weight, line.dots, band, ringed)


def _known(pair: tuple[float, float] | None) -> tuple[float, float] | None:
    return pair if pair is not None and all(map(math.isfinite, pair)) else None


def _curve(line: Line, horizontal: Scale, vertical: Scale) -> Curve:
    def place(x: float, y: float) -> tuple[float, float]:
        return horizontal.place(x), vertical.place(y)

    spots = [place(x, y) for x, y in line.points]
    known = [(x, pair) for (x, _), pair in zip(line.points, line.band, strict=False) if pair is not None]
    around = [place(x, low) for x, (low, _) in known] + [place(x, high) for x, (_, high) in reversed(known)]
    alone = line.dots or len(spots) == 1  # a line through a single point is invisible
    return Curve(
        line.series % SERIES,
        line.weight,
        path_through([spots[kept] for kept in thinned([y for _, y in spots])]),
        path_through(around) + "Z" if len(known) > 1 else "",
        [Dot(x, y, number == line.ringed) for number, (x, y) in enumerate(spots)] if alone else [],
    )


def path_through(spots: Sequence[tuple[float, float]]) -> str:
    """The d of an SVG path: `M1 2L3 4`, to a hundredth of a pixel."""
    return "".join(f"{'L' if place else 'M'}{x:.2f} {y:.2f}" for place, (x, y) in enumerate(spots))


def thinned(heights: Sequence[float], most: int = _MOST_POINTS) -> list[int]:
    """Which points show the same curve: of each of `most` / 2 equal stretches the lowest and the highest.

    The first and the last one stay, and all do where there are no more than `most`.
    """
    if len(heights) <= most:
        return list(range(len(heights)))
    stretches, kept = most // 2, {0, len(heights) - 1}
    for stretch in range(stretches):
        inside = range(stretch * len(heights) // stretches, (stretch + 1) * len(heights) // stretches)
        kept |= {min(inside, key=heights.__getitem__), max(inside, key=heights.__getitem__)}
    return sorted(kept)


def _shortened(name: str, width: float) -> str:
    most = max(10, int(width / 30))
    return name if len(name) <= most else name[: most - 1] + "…"


def _labels(lines: Sequence[Line], names: Sequence[tuple[str, str]], vertical: Scale) -> list[EndLabel]:
    """The labels at the curves' ends, moved as little as keeps them apart."""
    named = [line for line in lines if line.name]
    length = vertical.start - vertical.end
    heights = [(vertical.start - vertical.place(line.points[-1][1])) / length for line in named]
    apart = spread_apart(heights, 2.3 * _LINE / length)
    return [
        EndLabel(text, value, vertical.start - height * length, line.series % SERIES, line.weight)
        for line, (text, value), height in zip(named, names, apart, strict=True)
    ]
