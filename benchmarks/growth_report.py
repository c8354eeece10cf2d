"""Tables and plots of `growth`: images a second over size, with fitted power laws."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from benchmarks.power_law import PowerLaw, fit
from benchmarks.report import table
from unnoise.pictures.charts import COLOURS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PICTURES = "pictures"

FITTED_SIDES = (24, 64)
"""Between these sides the recipe has one width and one patch size, so that only the pictures grow."""


class Row(NamedTuple):
    """Measurement at one size on one machine; a machine measures all sizes again."""

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


class Quantity(NamedTuple):
    """A quantity that grows: its title, its symbol in a power law, the label of its axis, and its rate."""

    title: str
    symbol: str
    axis: str
    rate: str = "images/s"


QUANTITIES = {
    "resolution": Quantity("Resolution", "pixels", "pixels, height x width"),
    "batch": Quantity("Batch", "batch", "pictures in a batch"),
    "width": Quantity("Width of the network", "width", "channels of the first level"),
    PICTURES: Quantity("Number of pictures", "pictures", "pictures in the cache", "batches/s"),
}


def extent(row: Row) -> int:
    """Size as it is plotted and fitted: pixels for a resolution."""
    return row.size**2 if row.grown == "resolution" else row.size


def of(rows: Sequence[Row], machine: str, grown: str) -> list[Row]:
    """A machine's rows of one quantity."""
    return [row for row in rows if (row.machine, row.grown) == (machine, grown)]


def fitted(rows: Sequence[Row]) -> list[Row]:
    """Rows that the power law is fitted to: all but sides with another recipe; none if fewer than two."""
    low, high = FITTED_SIDES
    chosen = [row for row in rows if row.grown != "resolution" or low <= row.size <= high]
    return chosen if len(chosen) > 1 else []


def power_law(rows: Sequence[Row]) -> PowerLaw | None:
    """Images a second over size; None if there are fewer than two rows to fit."""
    chosen = fitted(rows)
    return fit({extent(row): row.images_per_second for row in chosen}) if chosen else None


def tables(rows: Sequence[Row]) -> dict[str, str]:
    """The tables of docs/growth.md: the power laws, then a section for each machine."""
    machines = list(dict.fromkeys(row.machine for row in rows))
    laws = [
        [quantity.title, machine, quantity.rate, f"{quantity.symbol}^{law.slope:.2f}"]
        for machine in machines
        for name, quantity in QUANTITIES.items()
        if (law := power_law(of(rows, machine, name)))
    ]
    return {
        "power-laws": table(["what grows", "machine", "rate", "grows as"], laws, texts=(0, 1, 2)),
        "machines": "\n\n".join(_section(rows, machine) for machine in machines),
    }


def _section(rows: Sequence[Row], machine: str) -> str:
    paragraphs = [f"## {machine}"]
    for name, quantity in QUANTITIES.items():
        mine = of(rows, machine, name)
        paragraphs += [f"{quantity.title}:", _loading(mine) if name == PICTURES else _steps(mine)]
    known = next(row for row in rows if row.machine == machine)
    paragraphs += [f"```sh\n{known.command}\n```", f"Medians of turns. {known.measured}"]
    return "\n\n".join(text.strip() for text in paragraphs)


def _steps(rows: Sequence[Row]) -> str:
    cells = []
    for row in rows:
        size = f"{row.size} x {row.size}" if row.grown == "resolution" else f"{row.size}"
        work = row.gflop_per_image or 0.0
        numbers = [f"{row.images_per_second:,.1f}", f"{work:.3f}", f"{work * row.images_per_second:,.0f}"]
        cells.append([size, *numbers])
    return table([QUANTITIES[rows[0].grown].axis, "images/s", "GFLOP an image", "GFLOP/s"], cells)


def _loading(rows: Sequence[Row]) -> str:
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
    """A panel for each quantity, a colour for each machine, and the fitted power laws."""
    panels = figure.subplots(2, 2).flat
    machines = list(dict.fromkeys(row.machine for row in rows))
    for (name, quantity), axes in zip(QUANTITIES.items(), panels, strict=True):
        axes.set(xscale="log", yscale="log", title=quantity.title, xlabel=quantity.axis, ylabel=quantity.rate)
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
    law, chosen = power_law(rows), [extent(row) for row in fitted(rows)]
    if law is not None:
        heights = [law.at(each) / by for each in chosen]
        axes.plot(chosen, heights, "--", color="black", linewidth=0.9, label=f"slope {law.slope:.2f}")


def _ticks(axes: "Axes", places: dict[int, int], name: str) -> None:
    from matplotlib.ticker import EngFormatter, NullLocator

    label = "{}²".format if name == "resolution" else EngFormatter(sep="")
    axes.set_xticks(list(places.values()), [label(size) for size in places])
    axes.xaxis.set_minor_locator(NullLocator())
    low, high = axes.get_ylim()
    if high < 10 * low:  # a logarithmic axis without a power of ten has no numbers of its own
        middle = (low * high) ** 0.5
        axes.set_ylim(middle / 3.5, middle * 3.5)
