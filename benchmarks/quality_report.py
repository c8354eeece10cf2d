"""Tables and plots of `time_to_quality`: distances by minutes of training, and the first samples of each."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from PIL import Image, ImageDraw, ImageFont

from benchmarks.quality_results import (
    NOISE,
    OURS,
    REAL,
    TITLES,
    Comparison,
    Row,
    comparisons,
    folder_name,
    merged,
    minutes_to_reach,
)
from benchmarks.report import MADE, publish, table
from unnoise.pictures import grid, save_png
from unnoise.pictures.charts import COLOURS, INK, painted
from unnoise.utils.errors import require
from unnoise.utils.tables import read_table, write_table
from unnoise.utils.tensor_files import read_tensors

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TABLE = "time_to_quality.csv"

COMMANDS = """\
python -m benchmarks.time_to_quality --images fashion-mnist --images emoji=PICTURES --size 32 --seeds 0 1 2
python -m benchmarks.time_to_quality --images emoji=PICTURES --size 64 --minutes 20 --marks 20 --samples 300
python -m benchmarks.time_to_quality --images emoji=PICTURES --size 64 --minutes 20 --marks 20 --samples 300 \\
    --seeds 0 1 2 --contenders unnoise"""

_BAND = 16
_SHADES = 64
"""So many colours look the same, in a third of the bytes."""

_SCREEN = 56
"""About the width of a sample in the picture, in pixels."""


# --- tables -------------------------------------------------------------------------------------------------


def summary(rows: Sequence[Row]) -> str:
    """Unnoise beside the best of the others after the last mark: a row for each data set and judge."""
    header = ["data set", "features", "unnoise", "best of the others", "its distance", "ratio"]
    lines = [
        line
        for comparison in comparisons(rows)
        for features in comparison.features
        if (line := _summary_of(comparison, features))
    ]
    header += ["seed by seed", "unnoise gets there after, min"]
    return table(header, lines, texts=(0, 1, 3))


def _summary_of(comparison: Comparison, features: str) -> list[str] | None:
    last = {name: found for name in comparison.names if (found := comparison.last(name, features, "fd"))}
    others = {name: found for name, found in last.items() if name != OURS}
    if OURS not in last or not others:
        return None
    best = min(others, key=lambda name: others[name].middle)
    ratios = []
    for seed in sorted({*comparison.seeds(OURS)} & {*comparison.seeds(best)}):
        alone = Comparison([row for row in comparison.rows if row.seed == seed])
        mine, its = (alone.last(name, features, "fd") for name in (OURS, best))
        ratios += [f"{mine.middle / its.middle:.2f}"] if mine and its else []
    its_curve = comparison.curve(best, features, "fd")
    reached = minutes_to_reach(comparison.curve(OURS, features, "fd"), its_curve[max(its_curve)].middle)
    return [
        comparison.slug,
        features,
        last[OURS].text,
        TITLES[best],
        others[best].text,
        f"**{last[OURS].middle / others[best].middle:.2f}**",
        ", ".join(ratios) if len(ratios) > 1 else "",
        "never" if reached is None else f"{reached:.2g}",
    ]


def distances(comparison: Comparison, features: str, measure: str) -> str:
    """A row for each contender, a column for each mark; the last column is from the most samples."""
    _, most = comparison.numbers()
    names = [*comparison.names, REAL, NOISE]
    curves = {name: comparison.curve(name, features, measure) for name in names}
    marks = sorted({mark for name in comparison.names for mark in curves[name]})
    lines = []
    for name, curve in curves.items():
        cells = [curve[mark].text if mark in curve else "" for mark in marks]
        whole = comparison.last(name, features, measure)
        lines.append([TITLES[name], *cells, whole.text if whole else ""])
    last = f"{comparison.budget:g} min, {most:,} samples"
    return table(["", *(f"{mark:g} min" for mark in marks), last], lines)


def speeds(comparison: Comparison) -> str:
    """A row for each contender: size, speed of training and sampling, seeds."""
    lines = []
    for name in comparison.names:
        mine = [row for row in comparison.rows if row.contender == name and row.minutes == comparison.budget]
        if not mine:
            continue
        rate, images = (round(median(getattr(row, field) for row in mine)) for field in ("rate", "images"))
        drawing = 1000 * median(row.seconds for row in mine)
        numbers = [f"{mine[0].parameters:,}", f"{rate:,}", f"{images:,}", str(mine[0].calls), f"{drawing:,.0f}"]
        seeds = str(len(comparison.seeds(name)))
        lines.append([f"{TITLES[name]} {mine[0].version}", mine[0].sampler or "", *numbers, seeds])
    header = ["", "sampler", "parameters", "images/s", "images seen", "calls", "s to draw 1,000", "seeds"]
    return table(header, lines, texts=(0, 1))


def section(comparison: Comparison, docs: Path) -> str:
    """All tables of one data set."""
    row, (few, most) = comparison.rows[0], comparison.numbers()
    kind = {1: "grey ", 3: "coloured "}.get(row.channels, "")
    texts = [
        f"## {row.dataset}, {row.side} x {row.side}, {comparison.budget:g} minutes",
        f"{row.pictures:,} {kind}pictures of {row.side} x {row.side}; {few:,} samples at each mark, {most:,} "
        "in the last column.",
    ]
    if (docs / f"time_to_quality-{comparison.slug}.png").is_file():
        texts.append(f"![Distance over minutes](time_to_quality-{comparison.slug}.png)")
    for features in comparison.features:
        texts += [
            f"### Features: {features}",
            f"{next(row.judge for row in comparison.rows if row.features == features)}.",
            "Fréchet distance:",
            distances(comparison, features, "fd"),
            "Kernel distance:",
            distances(comparison, features, "kid"),
        ]
    if (docs / f"time_to_quality-{comparison.slug}-samples.png").is_file():
        texts.append(f"![The first samples of each](time_to_quality-{comparison.slug}-samples.png)")
    return "\n\n".join(text.strip() for text in [*texts, speeds(comparison)])


def publish_page(rows: Sequence[Row], work: Path, docs: Path) -> None:
    """Adds the rows to those in docs, and writes tables and plots of all of them."""
    known = merged(read_table(docs / TABLE, Row), rows)
    require(bool(known), f"There are no rows in {work} or {docs} to make a page of. Measure first.")
    write_table(docs / TABLE, Row, known)
    sections = {}
    for comparison in comparisons(known):
        name = f"time_to_quality-{comparison.slug}"
        if len({row.minutes for row in comparison.rows}) > 1:  # one mark is no curve
            draw_curves(comparison, docs / f"{name}.png")
        first, seed = comparison.rows[0], min(row.seed for row in comparison.rows)
        folder = work / folder_name(first.dataset, first.side, comparison.budget) / str(seed)
        draw_samples(folder, [*comparison.names, REAL], TITLES, docs / f"{name}-samples.png")
        sections[comparison.slug] = section(comparison, docs)
    machines, dates = dict.fromkeys(row.machine for row in known), sorted({row.measured for row in known})
    when = " to ".join(dict.fromkeys((dates[0], dates[-1])))
    made = f"```sh\n{COMMANDS}\n```\n\nMeasured on {when} on: {'; '.join(machines)}."
    blocks = {MADE: made, "summary": summary(known), **sections}
    publish("time_to_quality", "Quality of the samples after the same minutes of training.", blocks, docs)


# --- plots --------------------------------------------------------------------------------------------------


def draw_curves(comparison: Comparison, path: Path) -> None:
    """Fréchet distance over minutes, with that of real pictures as a line: a panel for each judge."""
    drawn = painted(partial(_draw, comparison), (4.4 * len(comparison.features), 4.0))
    save_png(drawn.quantize(_SHADES), path)


def _draw(comparison: Comparison, figure: "Figure") -> None:
    panels = figure.subplots(1, len(comparison.features), squeeze=False)[0]
    for features, axes in zip(comparison.features, panels, strict=True):
        _panel(comparison, features, axes)
    panels[0].set_ylabel("Fréchet distance")
    lines, names = panels[0].get_legend_handles_labels()
    figure.legend(lines, names, loc="outside lower center", ncols=len(names), fontsize=8, frameon=False)


def _panel(comparison: Comparison, features: str, axes: "Axes") -> None:
    from matplotlib.ticker import LogLocator, NullFormatter, NullLocator, StrMethodFormatter

    marks: set[float] = set()
    for name, colour in zip(comparison.names, COLOURS, strict=False):
        curve = comparison.curve(name, features, "fd")
        marks |= set(curve)
        axes.plot(
            list(curve), [one.middle for one in curve.values()], "o-", color=colour, ms=3, label=TITLES[name]
        )
        lows, highs = ([getattr(one, end) for one in curve.values()] for end in ("low", "high"))
        axes.fill_between(list(curve), lows, highs, color=colour, alpha=0.15, linewidth=0)
    for real in comparison.curve(REAL, features, "fd").values():
        axes.axhline(real.middle, color=INK, linestyle="--", linewidth=0.9, label=TITLES[REAL])
    axes.set(xscale="log", yscale="log", xlabel="minutes of training")
    axes.set_title(f"features: {features}")
    axes.set_xticks(sorted(marks), [f"{mark:g}" for mark in sorted(marks)])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())


def draw_samples(folder: Path, names: Sequence[str], titles: Mapping[str, str], path: Path) -> None:
    """A row of samples for each contender that has any in this folder; without any, the old picture stays."""
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
