"""Charts of one run or of several: loss and kernel distance against images seen or training time."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import groupby
from typing import TypeAlias

import numpy as np

from unnoise.pictures.loss_curves import counted, smoothed
from unnoise.reports.charts import Line, Plot
from unnoise.reports.number_text import count, number, time_unit
from unnoise.reports.page import Chart
from unnoise.reports.run_folder import RunFolder
from unnoise.runs.history import HistoryRow, QualityRow
from unnoise.trainer.monitoring import best_step

Cost: TypeAlias = Callable[[HistoryRow | QualityRow], float]


def kid_name(extractor: str) -> str:
    """`KID` for features of Inception, `KID-EXTRACTOR` for those of another extractor."""
    return "KID" if extractor in {"", "inception"} else f"KID-{extractor}"


def best_quality(rows: Sequence[QualityRow]) -> QualityRow:
    """The row with the lowest kernel distance, among rows without copied samples where there are any."""
    step = best_step(list(rows))
    return next(row for row in rows if row.step == step)


def loss_chart(folder: RunFolder) -> Chart | None:
    """Chart of the training loss with its trend, and of the held-out loss; None where neither was recorded."""
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
        (Plot("images seen", "loss", tuple(lines), x_text=counted, from_zero=True),),
        alt=_described("Loss against images seen", lines),
        caption="Pale: single measurements. Held out: pictures that are not trained on.",
    )


def levels_chart(folder: RunFolder) -> Chart | None:
    """Chart of the held-out loss at each noise level: a line for each measured step, the last one strong."""
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
        (Plot("log-SNR (noisier to the left)", "loss", (*pale, strong)),),
        alt=f"Held-out loss against the log of the signal-to-noise ratio, last after {count(last, 'step')}.",
        caption=f"It should fall at every noise level.{earlier}",
    )


def quality_chart(folder: RunFolder) -> Chart | None:
    """Chart of the kernel distance to real pictures during training, with intervals, the best ringed."""
    rows = folder.quality
    if not rows:
        return None
    best = best_quality(rows)
    name = kid_name(rows[-1].extractor)
    line = replace(
        kid_line(folder, lambda row: float(row.images), name, 0), ringed=(float(best.images), best.kid)
    )
    plot = Plot("images seen", f"{name}, lower is better", (line,), x_text=counted, from_zero=True)
    return Chart(
        f"{name} during training",
        (plot,),
        alt=_described(f"{name} against images seen, with intervals", [line]),
        caption=f"Ringed: the best, {number(best.kid)} after {count(best.step, 'step')}. "
        "Shaded: 95% intervals.",
    )


def kid_line(folder: RunFolder, cost: Cost, name: str, series: int) -> Line:
    """Curve of a run's kernel distance over images or time, as `cost` says."""
    points = tuple((cost(row), row.kid) for row in folder.quality)
    band = tuple((row.low, row.high) for row in folder.quality)
    return Line(name, points, series, dots=True, band=band)


def compared_losses(folders: Sequence[RunFolder], names: Sequence[str]) -> Chart | None:
    """Charts of the held-out losses of several runs, against images and against time."""

    def line(folder: RunFolder, cost: Cost, name: str, series: int) -> Line:
        return Line(name, tuple((cost(row), loss) for row, loss in folder.held_out), series, dots=True)

    return _compared(folders, names, line, lambda folder: folder.held_out, "Held-out loss", "loss")


def compared_quality(folders: Sequence[RunFolder], names: Sequence[str]) -> Chart | None:
    """Charts of the kernel distances of several runs, against images and against time."""
    seen = {kid_name(row.extractor) for folder in folders for row in folder.quality[-1:]}
    title = " and ".join(sorted(seen)) or "KID"
    chart = _compared(
        folders, names, kid_line, lambda folder: folder.quality, title, f"{title}, lower is better"
    )
    if chart is None or len(seen) == 1:
        return chart
    note = "The runs used different feature extractors, so these distances can't be compared."
    return Chart(chart.title, chart.plots, chart.alt, note)


def _compared(
    folders: Sequence[RunFolder],
    names: Sequence[str],
    line: Callable[[RunFolder, Cost, str, int], Line],
    measured: Callable[[RunFolder], Sequence[object]],
    title: str,
    y_title: str,
) -> Chart | None:
    shown = [(folder, name, place) for place, (folder, name) in enumerate(zip(folders, names, strict=True))]
    shown = [each for each in shown if measured(each[0])]
    if not shown:
        return None
    unit, long = time_unit(max(folder.last.seconds if folder.last else 0.0 for folder, _, _ in shown))

    def images(row: HistoryRow | QualityRow) -> float:
        return float(row.images)

    def time(row: HistoryRow | QualityRow) -> float:
        return row.seconds / long

    by_images = tuple(line(folder, images, name, place) for folder, name, place in shown)
    by_time = tuple(line(folder, time, name, place) for folder, name, place in shown)
    plots = (
        Plot("images seen", y_title, by_images, x_text=counted, from_zero=True),
        Plot(f"{unit} of training", y_title, by_time, from_zero=True),
    )
    return Chart(
        title,
        plots,
        alt=_described(f"{title} against images seen, and against time", by_images),
        caption="Against images seen, and against training time.",
    )


def _described(what: str, lines: Sequence[Line]) -> str:
    """Text for screen readers: where each curve ends."""
    ends = [f"{line.name} ends at {number(line.points[-1][1])}" for line in lines if line.name]
    return f"{what}: {', '.join(ends)}."
