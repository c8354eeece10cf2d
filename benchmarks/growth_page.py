"""How cost grows is a power: the slope of a line through the logarithms, said in words beside its numbers."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from benchmarks.attention_cost import Line, fit
from benchmarks.reports import table
from unnoise.pictures.charts import COLOURS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PICTURES = "pictures"

FITTED_SIDES = (24, 64)
"""Between these the default preset has one width and one size of patches, so that only the pictures grow."""


class Row(NamedTuple):
    """What was measured at one size, on one machine; every machine measures all sizes again."""

    machine: str
    grown: str
    size: int
    images_per_second: float
    command: str
    measured: str
    gflop_per_image: float | None = None
    first_batch_new: float | None = None
    first_batch: float | None = None
    peak: float | None = None


class Grown(NamedTuple):
    """What grows: how it is told, what a law calls it, and what an axis does."""

    title: str
    symbol: str
    axis: str


GROWN = {
    "resolution": Grown("Resolution", "pixels", "pixels, height x width"),
    "batch": Grown("Batch", "batch", "pictures in a batch"),
    "width": Grown("Width of the network", "width", "channels of the first level"),
    PICTURES: Grown("Number of pictures", "pictures", "pictures in the cache"),
}


def extent(row: Row) -> int:
    """Over what a row is drawn and fitted: its size, and pixels where that is a side."""
    return row.size**2 if row.grown == "resolution" else row.size


def of(rows: Sequence[Row], machine: str, grown: str) -> list[Row]:
    """A machine's rows of what grows."""
    return [row for row in rows if (row.machine, row.grown) == (machine, grown)]


def fitted(rows: Sequence[Row]) -> list[Row]:
    """Those that the line goes through: all, but for sides at which the recipe is another; none without two."""
    low, high = FITTED_SIDES
    chosen = [row for row in rows if row.grown != "resolution" or low <= row.size <= high]
    return chosen if len(chosen) > 1 else []


def line(rows: Sequence[Row]) -> Line | None:
    """Images a second over what grows, where there are two rows to fit."""
    chosen = fitted(rows)
    return fit({extent(row): row.images_per_second for row in chosen}) if chosen else None


def law(what: str, rows: Sequence[Row]) -> str:
    """`images/s fall as pixels^-0.97`."""
    found, symbol = line(rows), GROWN[rows[0].grown].symbol
    if found is None:
        return f"{what} were measured at too few sizes of {symbol} to tell a slope"
    way = "hardly change: they go" if abs(found.slope) < 0.05 else "fall" if found.slope < 0 else "rise"
    return f"{what} {way} as {symbol}^{found.slope:.2f}"


def page(rows: Sequence[Row]) -> list[str]:
    """The paragraphs of docs/growth.md, from the rows of all machines."""
    machines = list(dict.fromkeys(row.machine for row in rows))
    first, second = FITTED_SIDES
    return [
        "# What growth costs",
        "; on ".join(_headline(rows, machine) for machine in machines).join(["On ", "."]),
        "![Images a second over what grows, on logarithmic axes](growth.png)",
        "Whole training steps (`train_step`) of the default preset on grey pictures: 32 x 32, 64 in a batch, "
        "and the preset's own network, where they do not grow themselves. GFLOP are those that PyTorch "
        "counts in a step: products and convolutions, the optimiser's among them. Slopes are those of lines "
        f"through the logarithms; that over the resolution goes from {first} x {first} to {second} x {second}, "
        "where the preset has one width and one size of patches: it is narrower for smaller pictures, and "
        "takes larger patches of larger ones. Batches of 64 are taken from one mapped file of random 16 x 16 "
        "pictures, `new` by a process that has to read all of them first, and `known` by one that finds them "
        "in the cache; memory is what comes on top of that of the imports, in the larger of the two.",
        *(text for machine in machines for text in _section(rows, machine)),
    ]


def _headline(rows: Sequence[Row], machine: str) -> str:
    steps = (law("images/s", of(rows, machine, name)) for name in GROWN if name != PICTURES)
    batches = law("batches/s", of(rows, machine, PICTURES))
    return f"{machine}, {', '.join(steps)}, and {batches}"


def _section(rows: Sequence[Row], machine: str) -> list[str]:
    paragraphs = [f"## {machine}"]
    for name, grown in GROWN.items():
        mine = of(rows, machine, name)
        what = "batches/s" if name == PICTURES else "images/s"
        paragraphs += [
            f"{grown.title}: {law(what, mine)}.",
            _pictures(mine) if name == PICTURES else _steps(mine),
        ]
    known = next(row for row in rows if row.machine == machine)
    return [*paragraphs, f"```sh\n{known.command}\n```", f"Medians of turns. {known.measured}"]


def _steps(rows: Sequence[Row]) -> str:
    cells = []
    for row in rows:
        size = f"{row.size} x {row.size}" if row.grown == "resolution" else f"{row.size}"
        work = row.gflop_per_image or 0.0
        numbers = [f"{row.images_per_second:,.1f}", f"{work:.3f}", f"{work * row.images_per_second:,.0f}"]
        cells.append([size, *numbers])
    return table([GROWN[rows[0].grown].axis, "images/s", "GFLOP an image", "GFLOP/s"], cells)


def _pictures(rows: Sequence[Row]) -> str:
    cells = [
        [
            f"{row.size:,}",
            f"{row.images_per_second / 64:,.0f}",
            *(f"{number or 0.0:.3f}" for number in (row.first_batch_new, row.first_batch)),
            f"{row.peak or 0.0:.0f}",
        ]
        for row in rows
    ]
    header = ["pictures", "batches/s", "seconds to the first, new", "seconds to the first, known", "MB"]
    return table(header, cells)


def draw(rows: Sequence[Row], figure: "Figure") -> None:
    """A panel for each thing that grows, a colour for each machine, and its fitted line."""
    panels = figure.subplots(2, 2).flat
    machines = list(dict.fromkeys(row.machine for row in rows))
    for (name, grown), axes in zip(GROWN.items(), panels, strict=True):
        what = "batches/s" if name == PICTURES else "images/s"
        axes.set(xscale="log", yscale="log", title=grown.title, xlabel=grown.axis, ylabel=what)
        for machine, colour in zip(machines, COLOURS, strict=False):
            _panel(of(rows, machine, name), colour, axes)
        _ticks(axes, {row.size: extent(row) for row in rows if row.grown == name}, name)
        axes.legend(frameon=False, fontsize=8, labelcolor=COLOURS[: len(axes.get_legend_handles_labels()[0])])
    if len(machines) > 1:
        for machine, colour in zip(machines, COLOURS, strict=False):
            figure.axes[0].plot([], [], color=colour, label=machine)
        handles, labels = figure.axes[0].get_legend_handles_labels()
        figure.legend(
            handles[-len(machines) :], labels[-len(machines) :], loc="outside lower center", frameon=False
        )


def _panel(rows: Sequence[Row], colour: str, axes: "Axes") -> None:
    by = 64 if rows and rows[0].grown == PICTURES else 1
    axes.plot(
        [extent(row) for row in rows], [row.images_per_second / by for row in rows], "o-", color=colour, ms=4
    )
    found, chosen = line(rows), [extent(row) for row in fitted(rows)]
    if found is not None:
        heights = [found.at(each) / by for each in chosen]
        axes.plot(chosen, heights, "--", color="black", linewidth=0.9, label=f"slope {found.slope:.2f}")


def _ticks(axes: "Axes", places: dict[int, int], name: str) -> None:
    from matplotlib.ticker import EngFormatter, NullLocator

    told = "{}²".format if name == "resolution" else EngFormatter(sep="")
    axes.set_xticks(list(places.values()), [told(size) for size in places])
    axes.xaxis.set_minor_locator(NullLocator())
    low, high = axes.get_ylim()
    if high < 10 * low:  # a logarithmic axis without a power of ten has no numbers of its own
        middle = (low * high) ** 0.5
        axes.set_ylim(middle / 3.5, middle * 3.5)
