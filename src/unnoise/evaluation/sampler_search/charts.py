"""Charts of a sampler search: error and distance against calls, and samples of the same seeds side by side."""

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import torch
from PIL import Image, ImageDraw, ImageFont

from unnoise import pictures
from unnoise.evaluation.sampler_search.candidates import first_calls
from unnoise.evaluation.sampler_search.search import Trial
from unnoise.pictures.charts import COLOURS, FAINT, INK, Label, name_at_the_end, painted

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MAX_COLOURED = 5
_DECADE = 10
_BAND, _HEADER = 220, 26
_LINE = 17


def best_trials(trials: Sequence[Trial]) -> dict[str, list[Trial]]:
    """Trials of each sampler with its best spacing (by the first trials), best sampler first."""
    tried = [trial for trial in trials if trial.role == "tried"]
    middle = first_calls([trial.candidate.calls for trial in tried])
    first_trials = sorted(
        (trial for trial in tried if trial.candidate.calls == middle), key=lambda trial: trial.distance.value
    )
    found: dict[str, list[Trial]] = {}
    for first in first_trials:
        pair = first.candidate.sampler_and_spacing
        mine = [trial for trial in tried if trial.candidate.sampler_and_spacing == pair]
        found.setdefault(pair[0], sorted(mine, key=lambda trial: trial.candidate.calls))
    return found


def comparison_charts(trials: Sequence[Trial], distance: str) -> Image.Image:
    """Two charts against the calls: error against the reference, and the distance of this name."""
    return painted(partial(_draw, trials, distance), (9.5, 4.2))


def _draw(trials: Sequence[Trial], distance: str, figure: "Figure") -> None:
    left, right = figure.subplots(1, 2)
    best = best_trials(trials)
    left.set_title("Error against the reference (rmse)")
    right.set_title(f"{distance} to real pictures")
    lines = [
        {
            name: [(t.candidate.calls, t.error) for t in each if t.error is not None]
            for name, each in best.items()
        },
        {name: [(t.candidate.calls, t.distance.value) for t in each] for name, each in best.items()},
    ]
    for axes, values in zip((left, right), lines, strict=True):
        _draw_lines(axes, values, list(best))
    for trial in trials:
        if trial.role == "tried":
            continue
        style = "--" if trial.role == "long" else ":"
        right.axhline(trial.distance.value, color=INK, linestyle=style, linewidth=0.9, label=_reference(trial))
        if trial.role == "long":
            right.axhspan(trial.distance.low, trial.distance.high, color=INK, alpha=0.07, linewidth=0)
    figure.legend(frameon=False, fontsize=7.5, loc="outside lower right", ncols=2)
    figure.canvas.draw()  # sets the scales, which place the names
    for axes, values in zip((left, right), lines, strict=True):
        _draw_names(axes, values, list(best))


def _reference(trial: Trial) -> str:
    return f"{'reference' if trial.role == 'long' else 'present sampler'}, {trial.taken} calls"


def _colour(name: str, names: Sequence[str]) -> str:
    place = names.index(name)
    return COLOURS[place] if place < _MAX_COLOURED else FAINT


def _draw_lines(axes: "Axes", values: dict[str, list[tuple[int, float]]], names: Sequence[str]) -> None:
    from matplotlib.ticker import FuncFormatter, NullLocator

    known = [value for points in values.values() for _, value in points]
    ticks = sorted({calls for points in values.values() for calls, _ in points})
    axes.set(xscale="log", xlabel="network calls per picture")
    if known and min(known) > 0:
        axes.set(yscale="log")
        plain = FuncFormatter(lambda value, _: f"{value:g}")
        axes.yaxis.set_major_formatter(plain)
        axes.yaxis.set_minor_formatter(plain if max(known) < _DECADE * min(known) else "")
    axes.set_xticks(ticks, [str(calls) for calls in ticks])
    axes.xaxis.set_minor_locator(NullLocator())
    for name in reversed(names):
        colour = _colour(name, names)
        calls, heights = [calls for calls, _ in values[name]], [value for _, value in values[name]]
        axes.plot(calls, heights, "o-", color=colour, markersize=3, linewidth=0.8 if colour == FAINT else 1.8)


def _draw_names(axes: "Axes", values: dict[str, list[tuple[int, float]]], names: Sequence[str]) -> None:
    to_axes = axes.transData + axes.transAxes.inverted()
    labels = [
        Label(name, float(to_axes.transform(values[name][-1])[1]), _colour(name, names))
        for name in names
        if values[name]
    ]
    name_at_the_end(axes, labels, 0.06)


def sample_sheet(trials: Sequence[Trial], distance: str, seed: int = 0) -> Image.Image:
    """Samples of the same seeds in columns: the reference, the present sampler, and samplers of equal calls."""
    middle = first_calls([trial.candidate.calls for trial in trials if trial.role == "tried"])
    rows = [trial for trial in trials if trial.role != "tried"]
    for each in best_trials(trials).values():
        rows += [trial for trial in each if trial.candidate.calls == middle]
    shown = torch.cat([_drawable(trial) for trial in rows])
    sheet = pictures.grid(shown, columns=len(rows[0].shown))
    page = Image.new("RGB", (sheet.width + _BAND, sheet.height + _HEADER), "white")
    page.paste(sheet, (_BAND, _HEADER))
    draw, width, height = ImageDraw.Draw(page), sheet.width / len(rows[0].shown), sheet.height / len(rows)
    for place in range(len(rows[0].shown)):
        where = (_BAND + (place + 0.5) * width, _HEADER / 2)
        draw.text(where, f"seed {seed + place}", fill=INK, font=_font(12), anchor="mm")
    for place, trial in enumerate(rows):
        for line, text in enumerate(_caption(trial, distance)):
            where = (_BAND - 12, _HEADER + (place + 0.5) * height + (line - 0.5) * _LINE)
            draw.text(where, text, fill=INK, font=_font(13 - line), anchor="rm")
    return page


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size=size)


def _drawable(trial: Trial) -> torch.Tensor:
    return trial.shown if trial.shown.shape[1] <= 4 else trial.shown[:, :3]


def _caption(trial: Trial, distance: str) -> tuple[str, str]:
    name = {"long": "reference", "own": "present sampler", "tried": trial.candidate.name}[trial.role]
    return f"{name}, {trial.taken} calls", f"{distance} {trial.distance.value:.3g}"
