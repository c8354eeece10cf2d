"""Loss curves: training and held-out loss against the number of images seen, with the trend."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from jaxtyping import Float
from PIL import Image

from unnoise.pictures.charts import COLOURS, FAINT, LARGEST_DRAWN, Label, name_at_the_end, painted

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TRAINING, HELD_OUT = COLOURS[0], COLOURS[1]


class LossPoint(NamedTuple):
    """Losses after a number of images; either may be missing."""

    images: int
    training_loss: float | None
    held_out_loss: float | None


class Curve(NamedTuple):
    """The losses of one kind that can be drawn, in the order of images seen, both (points,)."""

    images: Float[np.ndarray, " points"]
    losses: Float[np.ndarray, " points"]


def _curve(pairs: Sequence[tuple[int, float | None]]) -> Curve:
    drawn = sorted((images, loss) for images, loss in pairs if loss is not None and abs(loss) <= LARGEST_DRAWN)
    table = np.array(drawn, dtype=np.float64).reshape(-1, 2)
    return Curve(table[:, 0], table[:, 1])


def smoothed(losses: Float[np.ndarray, " points"]) -> Float[np.ndarray, " points"]:
    """Trend of a series by local linear regression (Cleveland, 1979) over a tenth of all points.

    Unlike a moving average it neither lags nor flattens the steep beginning, and its last value can be quoted.
    """
    reach = len(losses) // 20
    if reach == 0:
        return losses
    offsets = np.arange(-reach, reach + 1)
    weights = np.hanning(2 * reach + 3)[1:-1]

    def summed(values: Float[np.ndarray, " points"], power: int) -> Float[np.ndarray, " points"]:
        padded = np.pad(values, reach)
        return np.correlate(padded, weights * offsets**power, mode="valid")

    ones = np.ones_like(losses)
    flat, tilt, spread = summed(ones, 0), summed(ones, 1), summed(ones, 2)
    heights = (spread * summed(losses, 0) - tilt * summed(losses, 1)) / (flat * spread - tilt**2)
    # A fitted line may overshoot where losses fall steeply: keep the trend within the losses.
    trend: Float[np.ndarray, " points"] = np.clip(heights, losses.min(), losses.max())
    return trend


def counted(images: float) -> str:
    """A number in few characters: 950, 1.5k, 20k, 3M."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(images) >= size:
            return f"{images / size:.4g}{letter}"
    return f"{images:.4g}"


def scale_losses(axes: "Axes", losses: Float[np.ndarray, " points"]) -> None:
    """Makes the axis logarithmic where all losses are above 0 and differ by more than ten times."""
    if losses.min() <= 0.0 or losses.max() / 10.0 <= losses.min():
        return
    from matplotlib.ticker import LogLocator, NullFormatter

    axes.set_yscale("log")
    # Ticks at 1, 2 and 5, but over several decades at 1 only.
    few = losses.max() / 1000.0 <= losses.min()
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if few else (1.0,), numticks=12))
    axes.yaxis.set_major_formatter(lambda loss, _: f"{loss:.4g}")
    axes.yaxis.set_minor_formatter(NullFormatter())


def _name(axes: "Axes", curves: Sequence[tuple[str, float, str]]) -> None:
    """Writes the name and the last loss of each curve at its right end."""
    low, high = axes.get_ylim()
    logarithmic = axes.get_yscale() == "log"
    place = math.log if logarithmic else float
    labels = [
        Label(f"{name}\n{loss:.4g}", (place(loss) - place(low)) / (place(high) - place(low)), colour)
        for name, loss, colour in curves
    ]
    name_at_the_end(axes, labels, distance=0.13)


def _draw_losses(axes: "Axes", training: Curve, held_out: Curve) -> None:
    named: list[tuple[str, float, str]] = []
    dotted: dict[str, Any] = {
        "marker": "o",
        "markersize": 4.0,
        "markeredgecolor": "white",
        "markeredgewidth": 0.6,
    }
    if len(training.losses):
        trend = smoothed(training.losses)
        # A line through a single point would be invisible.
        alone = dotted if len(training.losses) == 1 else {}
        axes.plot(training.images, training.losses, color=TRAINING, alpha=0.25, linewidth=0.8)
        axes.plot(training.images, trend, color=TRAINING, **alone)
        named.append(("training", float(trend[-1]), TRAINING))
    if len(held_out.losses):
        axes.plot(held_out.images, held_out.losses, color=HELD_OUT, linewidth=1.3, **dotted)
        named.append(("held-out", float(held_out.losses[-1]), HELD_OUT))
    scale_losses(axes, np.concatenate([training.losses, held_out.losses]))
    _name(axes, named)


def loss_curve(history: Sequence[LossPoint]) -> Image.Image:
    """Draws the losses against the images seen: training pale with its trend, held-out as dots and a line.

    The loss axis is logarithmic where losses are above 0 and differ by more than ten times. Missing losses are
    left out, and losses that are not finite or above 1e100 are counted in a note. An empty history gives a
    chart that says so.
    """
    training = _curve([(point.images, point.training_loss) for point in history])
    held_out = _curve([(point.images, point.held_out_loss) for point in history])
    given = [loss for point in history for loss in point[1:] if loss is not None]
    left_out = sum(not abs(loss) <= LARGEST_DRAWN for loss in given)  # NaN compares as False

    def draw(figure: "Figure") -> None:
        axes = figure.subplots()
        axes.set_title("Loss")
        axes.set_xlabel("images seen")
        axes.xaxis.set_major_formatter(lambda images, _: counted(images))
        if len(given) > left_out:
            _draw_losses(axes, training, held_out)
        else:
            axes.set(xticks=[], yticks=[])
            axes.text(0.5, 0.5, "no losses yet", transform=axes.transAxes, ha="center", color=FAINT)
        if left_out:
            note = f"{left_out} of {len(given)} losses are NaN or too large to draw"
            axes.set_title(note, loc="right", color=COLOURS[1], fontsize=8.5)

    return painted(draw, (8.0, 4.0))
