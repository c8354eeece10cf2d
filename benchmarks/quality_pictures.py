"""Distances over minutes as a curve, and the first pictures of each as a row, for people to look at."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image, ImageDraw, ImageFont

from unnoise.pictures import grid, save_png
from unnoise.pictures.charts import COLOURS, INK, painted
from unnoise.utils.tensor_files import read_tensors

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from benchmarks.quality_rows import Part

_BAND = 16
_SHADES = 256
"""So many colours are enough to look at, in a third of the bytes."""

_SCREEN = 56
"""About how many pixels of the screen a picture is wide."""


def draw_curves(part: "Part", titles: Mapping[str, str], path: Path) -> None:
    """Frechet distance over minutes, on logarithmic axes, beside that of real pictures: one panel a network."""
    drawn = painted(partial(_draw, part, titles), (4.4 * len(part.features), 4.0))
    save_png(drawn.quantize(_SHADES), path)


def _draw(part: "Part", titles: Mapping[str, str], figure: "Figure") -> None:
    panels = figure.subplots(1, len(part.features), squeeze=False)[0]
    for features, axes in zip(part.features, panels, strict=True):
        _panel(part, features, titles, axes)
    panels[0].set_ylabel("Fréchet distance")
    lines, names = panels[0].get_legend_handles_labels()
    figure.legend(lines, names, loc="outside lower center", ncols=len(names), fontsize=8, frameon=False)


def _panel(part: "Part", features: str, titles: Mapping[str, str], axes: "Axes") -> None:
    from matplotlib.ticker import LogLocator, NullFormatter, NullLocator, StrMethodFormatter

    marks: set[float] = set()
    for name, colour in zip(part.names, COLOURS, strict=False):
        curve = part.curve(name, features, "fd")
        marks |= set(curve)
        axes.plot(
            list(curve), [one.middle for one in curve.values()], "o-", color=colour, ms=3, label=titles[name]
        )
        lows, highs = ([getattr(one, end) for one in curve.values()] for end in ("low", "high"))
        axes.fill_between(list(curve), lows, highs, color=colour, alpha=0.15, linewidth=0)
    for real in part.curve("real", features, "fd").values():
        axes.axhline(real.middle, color=INK, linestyle="--", linewidth=0.9, label=titles["real"])
    axes.set(xscale="log", yscale="log", xlabel="minutes of training")
    axes.set_title("seen by a classifier" if features == "classes" else f"seen by {features}")
    axes.set_xticks(sorted(marks), [f"{mark:g}" for mark in sorted(marks)])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())


def draw_samples(folder: Path, names: Sequence[str], titles: Mapping[str, str], path: Path) -> None:
    """A row of pictures for each that has any in this folder; where none has, an older picture stays."""
    files = {name: folder / name / "pictures.safetensors" for name in names}
    rows = []
    for name, file in files.items():
        if file.is_file():
            images = read_tensors(file)[0]["pictures"]
            scale = max(1, _SCREEN // images.shape[-1])
            rows.append((titles[name], grid(images.float() / 255, columns=len(images), scale=scale, gap=1)))
    if not rows:
        return
    page = Image.new("RGB", (rows[0][1].width, sum(row.height + _BAND for _, row in rows)), "white")
    draw, font, top = ImageDraw.Draw(page), ImageFont.load_default(size=11), 0
    for title, row in rows:
        draw.text((2, top + _BAND / 2), title, fill=INK, font=font, anchor="lm")
        page.paste(row, (0, top + _BAND))
        top += row.height + _BAND
    save_png(page.quantize(_SHADES), path)
