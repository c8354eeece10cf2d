"""Line charts as SVG for a page: drawn by matplotlib, coloured by the page's style sheet."""

import io
import math
import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, Literal, TypeAlias
from xml.etree import ElementTree as ET

import numpy as np
from jaxtyping import Float

from unnoise.pictures.charts import COLOURS, FAINT, INK, RULE, Label, drawable, house_style, name_at_the_end
from unnoise.pictures.loss_curves import scale_losses
from unnoise.reports.number_text import number
from unnoise.utils.text import printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Point: TypeAlias = tuple[float, float]
Weight: TypeAlias = Literal["strong", "plain", "pale"]

# The style sheet says what these are on a light and on a dark screen. The seventh colour of a curve is the ink.
_VARIABLES = {colour: f"var(--series-{place})" for place, colour in enumerate(COLOURS, start=1)} | {
    INK: "var(--ink)",
    FAINT: "var(--muted)",
    RULE: "var(--grid)",
    "#ffffff": "var(--paper)",
}
_PIXELS_PER_INCH = 100  # so that 9 points are 12.5 pixels
_LABEL = 36  # pixels of height that a curve's name and value take
_WIDTHS: dict[Weight, float] = {"strong": 2.0, "plain": 1.4, "pale": 0.8}  # in points


@dataclass(frozen=True)
class Line:
    """A curve through (x, y), with its confidence interval where that is known.

    Args:
        name: written at its end, with its last value; a curve without a name has no label.
        points: (x, y); points that are not finite are left out.
        series: number of its colour; the colours repeat after the last one.
        weight: strong for the curve that matters, pale for curves behind it.
        dots: each point is marked by a dot.
        band: (low, high) of the interval at each point; none where unknown.
        ringed: a point that gets a ring.
    """

    name: str
    points: tuple[Point, ...]
    series: int = 0
    weight: Weight = "plain"
    dots: bool = False
    band: tuple[Point, ...] = ()
    ringed: Point | None = None


@dataclass(frozen=True)
class Plot:
    """Curves over one pair of axes.

    Args:
        x_title: quantity and unit of the horizontal axis.
        y_title: the same of the vertical axis, which is logarithmic where positive values span more than a
            factor of ten.
        lines: the curves.
        x_text: writes the numbers of the horizontal axis.
        from_zero: the horizontal axis begins at 0.
    """

    x_title: str
    y_title: str
    lines: tuple[Line, ...]
    x_text: Callable[[float], str] = number
    from_zero: bool = False


def svg(plot: Plot, width: int, height: int, title: str, identifier: str) -> str:
    """An <svg> element to put into an HTML page, with colours, font and width left to the page.

    The same plot always gives the same text.

    Args:
        plot: the curves; a note says so where no point is finite.
        width: in CSS pixels at which its letters have the size of the page's.
        height: likewise; more where the curves' names need it.
        title: what the chart shows, for screen readers.
        identifier: an id that nothing else on the page has; all ids inside begin with it.
    """
    packed = io.BytesIO()
    settings = {"svg.fonttype": "none", "svg.hashsalt": "unnoise", "text.parse_math": False}
    with house_style(settings), warnings.catch_warnings():
        # Letters that matplotlib's font lacks: the page's font writes them.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure_of(plot, width, height).savefig(packed, format="svg", transparent=True)
    root = ET.fromstring(packed.getvalue())  # noqa: S314 (of matplotlib's own making)
    _adapt(root, identifier)
    root.attrib = {"viewBox": root.attrib["viewBox"], "role": "img", "aria-labelledby": identifier}
    named = ET.Element("title", {"id": identifier})
    named.text = printable(title)
    root.insert(0, named)
    return ET.tostring(root, encoding="unicode")


def figure_of(plot: Plot, width: int, height: int) -> "Figure":
    """The matplotlib figure of a plot, for screens of 100 pixels an inch."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    named = sum(bool(line.name) for line in plot.lines)
    inches = width / _PIXELS_PER_INCH, max(height, 80 + _LABEL * named) / _PIXELS_PER_INCH
    figure = Figure(figsize=inches, layout="constrained")
    axes = figure.subplots()
    axes.set_title(plot.y_title, fontsize=9.0)
    axes.set_xlabel(plot.x_title, loc="right")
    axes.grid(visible=False, axis="x")
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0.0)
    axes.margins(x=0.0)
    tables = [(line, table) for line in plot.lines if len(table := _finite(line))]
    for line, table in tables:
        _draw(axes, line, table)
    if plot.from_zero:
        axes.set_xlim(left=0.0)
    axes.xaxis.set_major_locator(MaxNLocator(max(4, width // 90), steps=[1, 2, 5, 10]))
    axes.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    axes.xaxis.set_major_formatter(lambda value, _: plot.x_text(round(value, 12)))
    axes.yaxis.set_major_formatter(lambda value, _: number(round(value, 12)))
    if not tables:
        axes.set(xticks=[], yticks=[])
        axes.text(0.5, 0.5, "no finite values", transform=axes.transAxes, ha="center", color=FAINT)
        return figure
    heights = np.concatenate([table[:, 1:].ravel() for _, table in tables])
    scale_losses(axes, heights[drawable(heights)])
    _name(axes, tables, max(10, width // 30), _LABEL / (inches[1] * _PIXELS_PER_INCH - 75))
    return figure


def _finite(line: Line) -> Float[np.ndarray, "_ 4"]:
    """x, y, low, high of each finite point; low and high are nan where unknown."""
    unknown = (math.nan, math.nan)
    rows = [(*point, *(band or unknown)) for point, band in zip_longest(line.points, line.band)]
    table = np.array(rows, dtype=np.float64).reshape(-1, 4)
    return table[drawable(table[:, :2]).all(axis=1)]


def _draw(axes: "Axes", line: Line, table: Float[np.ndarray, "_ 4"]) -> None:
    x, y, low, high = table.T
    colour = COLOURS[line.series % len(COLOURS)]
    dot: dict[str, Any] = {"marker": "o", "markeredgecolor": "white", "markeredgewidth": 0.8}
    dotted = line.dots or len(x) == 1  # a line through a single point is invisible
    style: dict[str, Any] = {"color": colour, "linewidth": _WIDTHS[line.weight], "clip_on": False}
    style |= {"alpha": 0.4 if line.weight == "pale" else 1.0, "markersize": 4.5}
    axes.plot(x, y, **style, **(dot if dotted else {}))
    known = drawable(low) & drawable(high)
    if known.any():
        axes.fill_between(x, low, high, where=known, color=colour, alpha=0.16, linewidth=0.0)
    if line.ringed is not None:
        ring: dict[str, Any] = {"marker": "o", "markerfacecolor": "white", "markeredgewidth": 1.8}
        axes.plot(*line.ringed, color=colour, clip_on=False, markersize=8.0, zorder=3.0, **ring)


def _name(
    axes: "Axes", tables: Sequence[tuple[Line, Float[np.ndarray, "_ 4"]]], letters: int, distance: float
) -> None:
    """Writes each curve's name and last value at its right end."""
    labels = []
    for line, table in tables:
        if line.name:
            height = float((axes.transScale + axes.transLimits).transform(table[-1, :2])[1])
            text = f"{_shortened(printable(line.name), letters)}\n{number(float(table[-1, 1]))}"
            labels.append(Label(text, height, COLOURS[line.series % len(COLOURS)]))
    name_at_the_end(axes, labels, distance)


def _shortened(name: str, letters: int) -> str:
    return name if len(name) <= letters else name[: letters - 1] + "…"


def _adapt(element: ET.Element, identifier: str) -> None:
    """Leaves colours to the page, makes ids this chart's own, and drops what only matplotlib needs."""
    element.tag = element.tag.rpartition("}")[2]
    element.text = element.text if element.tag == "text" else None
    element.tail = None
    attributes = {name.rpartition("}")[2]: value for name, value in element.attrib.items()}
    attributes.pop("clip-path", None)  # nothing is drawn outside the axes
    if element.tag == "g":
        attributes.pop("id", None)
    if "id" in attributes:
        attributes["id"] = f"{identifier}-{attributes['id']}"
    if "href" in attributes:
        attributes["href"] = f"#{identifier}-{attributes['href'][1:]}"
    if "style" in attributes:
        attributes["style"] = re.sub(
            "#[0-9a-f]{6}", lambda found: _VARIABLES.get(found[0], found[0]), attributes["style"]
        )
    element.attrib = attributes
    for child in list(element):
        _adapt(child, identifier)
        if child.tag in {"metadata", "style", "clipPath"} or (child.tag in {"g", "defs"} and not len(child)):
            element.remove(child)
