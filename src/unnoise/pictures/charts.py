"""Style of all charts: thin lines, few ticks, and names at the ends of curves instead of a legend."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from PIL import Image

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito (2008): the colour-blind can tell them apart. Not their yellow, which is too pale on white.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#33363b", "#8a6d3b")
INK = "#33363b"
FAINT = "#8b9097"
RULE = "#e4e6e9"
DOTS_PER_INCH = 150
LARGEST_DRAWN = 1e100
"""Larger numbers are left out of charts, as those that are not finite: their axis could have no ticks."""

STYLE: dict[str, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9.0,
    "text.color": INK,
    "figure.facecolor": "white",
    "axes.facecolor": "white",
    "axes.edgecolor": FAINT,
    "axes.linewidth": 0.7,
    "axes.labelcolor": INK,
    "axes.labelsize": 9.0,
    "axes.titlesize": 10.0,
    "axes.titlelocation": "left",
    "axes.titlepad": 10.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": RULE,
    "grid.linewidth": 0.7,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 8.0,
    "ytick.labelsize": 8.0,
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "xtick.major.size": 3.0,
    "ytick.major.size": 3.0,
    "ytick.minor.size": 0.0,
    "lines.linewidth": 1.8,
    "lines.solid_capstyle": "round",
}


@contextmanager
def house_style(settings: Mapping[str, Any] | None = None) -> Iterator[None]:
    """Context manager with the matplotlib settings of all charts, and further `settings`.

    They start from matplotlib's defaults, so that a matplotlibrc has no effect.
    """
    from matplotlib import rc_context, rcParamsDefault

    # Not the backend, which stays as it was: no chart here needs one.
    defaults: Any = {name: value for name, value in rcParamsDefault.items() if name != "backend"}
    with rc_context(defaults | STYLE | dict(settings or {})):
        yield


def painted(draw: "Callable[[Figure], None]", inches: tuple[float, float]) -> Image.Image:
    """The RGB picture of a figure of this size, which `draw` fills, in the style of all charts."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with house_style():
        figure = Figure(figsize=inches, dpi=DOTS_PER_INCH, layout="constrained")
        canvas = FigureCanvasAgg(figure)
        draw(figure)
        canvas.draw()  # type: ignore[no-untyped-call]
        return Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")  # type: ignore[no-untyped-call]


def drawable(values: Float[np.ndarray, "*shape"]) -> Bool[np.ndarray, "*shape"]:
    """Whether each number can be drawn: it is finite, and not beyond `LARGEST_DRAWN`."""
    found: Bool[np.ndarray, "*shape"] = np.abs(values) <= LARGEST_DRAWN
    return found


class Label(NamedTuple):
    """Name of a curve, the height of its end (0 to 1 of the axes), and its colour."""

    text: str
    height: float
    colour: str


def spread_apart(heights: Sequence[float], distance: float) -> list[float]:
    """Heights in [0, 1], in the same order, moved until they are at least `distance` apart."""
    order = sorted(range(len(heights)), key=heights.__getitem__)
    moved = list(heights)
    for below, above in pairwise(order):
        moved[above] = max(moved[above], moved[below] + distance)
    ceiling = 1.0
    for index in reversed(order):
        moved[index] = min(moved[index], ceiling)
        ceiling = moved[index] - distance
    return moved


def name_at_the_end(axes: "Axes", labels: Sequence[Label], distance: float) -> None:
    """Writes labels to the right of the axes, each at the end of its curve, without overlaps."""
    heights = spread_apart([label.height for label in labels], distance)
    for label, height in zip(labels, heights, strict=True):
        axes.annotate(
            label.text,
            (1.0, height),
            xycoords="axes fraction",
            xytext=(6, 0),
            textcoords="offset points",
            va="center",
            color=label.colour,
            fontsize=8.5,
            linespacing=1.3,
        )
