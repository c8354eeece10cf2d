"""Curves of one run or of several, over what training has cost: pictures seen, or time."""

from collections.abc import Callable, Sequence
from itertools import groupby
from typing import TypeAlias

import numpy as np

from unnoise.pictures.loss_curves import counted, smoothed
from unnoise.reports.charts import Line, Panel
from unnoise.reports.figures import count, number, time_unit
from unnoise.reports.folders import Folder
from unnoise.reports.page import Chart
from unnoise.reports.records import QualityRow, best_of
from unnoise.runs.history import Row

Cost: TypeAlias = Callable[[Row | QualityRow], float]


def kid_name(extractor: str) -> str:
    """KID is what the standard Inception sees; any other extractor's has its name in it."""
    return "KID" if extractor in {"", "inception"} else f"KID-{extractor}"


def loss_chart(folder: Folder) -> Chart | None:
    """The training loss, pale with its trend, and the loss on held-out pictures; None where there is none."""
    training = [(row.images, row.training_loss) for row in folder.history if row.training_loss is not None]
    held_out = tuple((float(row.images), loss) for row, loss in folder.held_out)
    lines: list[Line] = []
    if training:
        trend = smoothed(np.array([loss for _, loss in training], dtype=np.float64))
        raw = tuple((float(images), loss) for images, loss in training)
        lines.append(Line("", raw, weight="pale"))
        lines.append(Line("training", tuple((x, float(y)) for (x, _), y in zip(raw, trend, strict=True))))
    if held_out:
        lines.append(Line("held out", held_out, series=1, dots=True))
    if not lines:
        return None
    return Chart(
        "Loss",
        (Panel("images seen", "loss", tuple(lines), x_text=counted, from_zero=True),),
        alt=_ends("Loss against images seen", lines),
        caption="Pale: each measurement. Held out: pictures that it does not train on.",
    )


def levels_chart(folder: Folder) -> Chart | None:
    """The held-out loss at each noise level: one line for each step that was measured, the last one strong."""
    lines = [
        (step, tuple((row.log_snr, row.loss) for row in rows))
        for step, rows in groupby(folder.levels, key=lambda row: row.step)
    ]
    if not lines:
        return None
    *before, (last, points) = lines
    pale = [Line("", each, series=6, weight="pale") for _, each in before]
    strong = Line(f"step {last:,}", points, series=1, weight="strong", dots=len(points) <= 24)
    earlier = f" Pale: after {', '.join(f'{step:,}' for step, _ in before)} steps." if before else ""
    return Chart(
        "Held-out loss at each noise level",
        (Panel("log-SNR, noisier at the left", "loss", (*pale, strong)),),
        alt=f"Held-out loss against the log of the signal-to-noise ratio, last after {count(last, 'step')}.",
        caption=f"It should fall at every level.{earlier}",
    )


def quality_chart(folder: Folder) -> Chart | None:
    """The kernel distance to real pictures in training, with intervals, the lowest ringed."""
    rows = folder.quality
    if not rows:
        return None
    best = rows.index(best_of(rows))
    name = kid_name(rows[-1].extractor)
    line = kid_line(folder, lambda row: float(row.images), name, 0, best)
    panel = Panel("images seen", f"{name}, lower is better", (line,), x_text=counted, from_zero=True)
    chosen = rows[best]
    return Chart(
        f"{name} in training",
        (panel,),
        alt=_ends(f"{name} against images seen, with intervals", [line]),
        caption=f"Ringed: the best, {number(chosen.kid)} after {count(chosen.step, 'step')}. "
        "Shaded: 95% intervals.",
    )


def kid_line(folder: Folder, cost: Cost, name: str, series: int, ringed: int | None = None) -> Line:
    """The kernel distance of a run over what it cost."""
    points = tuple((cost(row), row.kid) for row in folder.quality)
    band = tuple(None if row.low is None or row.high is None else (row.low, row.high) for row in folder.quality)
    return Line(name, points, series, dots=True, band=band, ringed=ringed)


def compared_losses(folders: Sequence[Folder], names: Sequence[str]) -> Chart | None:
    """The held-out losses of several runs, against images and against time."""

    def line(folder: Folder, cost: Cost, name: str, series: int) -> Line:
        return Line(name, tuple((cost(row), loss) for row, loss in folder.held_out), series, dots=True)

    return _compared(folders, names, line, lambda folder: folder.held_out, "Held-out loss", "loss")


def compared_quality(folders: Sequence[Folder], names: Sequence[str]) -> Chart | None:
    """The kernel distances of several runs, against images and against time."""
    seen = {kid_name(row.extractor) for folder in folders for row in folder.quality[-1:]}
    title = " and ".join(sorted(seen)) or "KID"
    chart = _compared(
        folders, names, kid_line, lambda folder: folder.quality, title, f"{title}, lower is better"
    )
    if chart is None or len(seen) == 1:
        return chart
    note = "Seen by different extractors, so their heights can't be compared."
    return Chart(chart.title, chart.panels, chart.alt, note)


def _compared(
    folders: Sequence[Folder],
    names: Sequence[str],
    line: Callable[[Folder, Cost, str, int], Line],
    measured: Callable[[Folder], Sequence[object]],
    title: str,
    y_title: str,
) -> Chart | None:
    shown = [(folder, name, place) for place, (folder, name) in enumerate(zip(folders, names, strict=True))]
    shown = [each for each in shown if measured(each[0])]
    if not shown:
        return None
    unit, long = time_unit(max(folder.last.seconds if folder.last else 0.0 for folder, _, _ in shown))

    def images(row: Row | QualityRow) -> float:
        return float(row.images)

    def time(row: Row | QualityRow) -> float:
        return row.seconds / long

    by_images = tuple(line(folder, images, name, place) for folder, name, place in shown)
    by_time = tuple(line(folder, time, name, place) for folder, name, place in shown)
    panels = (
        Panel("images seen", y_title, by_images, x_text=counted, from_zero=True),
        Panel(f"{unit} of training", y_title, by_time, from_zero=True),
    )
    return Chart(
        title,
        panels,
        alt=_ends(f"{title} against images seen, and against time", by_images),
        caption="Against what was seen, and against what it took.",
    )


def _ends(what: str, lines: Sequence[Line]) -> str:
    """What a chart shows, for those who can't see it: where each curve ends."""
    ends = [f"{line.name} ends at {number(line.points[-1][1])}" for line in lines if line.name]
    return f"{what}: {', '.join(ends)}."
