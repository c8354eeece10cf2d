"""Which sampler for how many calls: a table and a picture with spreads, and sentences computed from them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, median, stdev
from typing import TYPE_CHECKING, NamedTuple

from benchmarks.reports import machine, table
from unnoise.cli.console import count
from unnoise.evaluation.sampler_search.candidates import SAME
from unnoise.pictures.charts import COLOURS, FAINT, INK

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

AT = 8
"""The number of calls at which grids are chosen, and one sampler is recommended."""

LONG, OWN, REAL = "ddim 250", "recipe", "real"
"""The references: 250 steps of deterministic DDIM, the preset's own way, and real pictures as samples."""

_SHOWN = 5
REFERENCES = {
    LONG: "DDIM, deterministic, {} calls",
    OWN: "the preset's own, {} calls",
    REAL: "training pictures in the samples' place",
}


@dataclass(frozen=True)
class Row:
    """One way of sampling with one seed, judged; `calls` is the price it was compared at, `taken` its own."""

    solver: str
    spacing: str
    calls: int
    taken: int
    seed: int
    samples: int
    weights: str
    kid: float
    frechet: float
    seconds: float


class Spread(NamedTuple):
    """Mean and standard deviation over seeds; of one seed there is no deviation."""

    mean: float
    deviation: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """Of the values of several seeds."""
        return cls(fmean(values), stdev(values) if len(values) > 1 else math.nan)

    def text(self, digits: int) -> str:
        """`0.123 ± 0.004`."""
        known = "" if math.isnan(self.deviation) else f" ± {self.deviation:.{digits}f}"
        return f"{self.mean:.{digits}f}{known}"


Scores = dict[str, dict[int, Spread]]
"""By solver and calls."""


def scores(rows: Sequence[Row], measure: str) -> Scores:
    """Mean and spread of a measure over the seeds of each solver and number of calls."""
    values: dict[str, dict[int, list[float]]] = {}
    for row in rows:
        values.setdefault(row.solver, {}).setdefault(row.calls, []).append(getattr(row, measure))
    return {
        solver: {calls: Spread.of(each) for calls, each in sorted(by_calls.items())}
        for solver, by_calls in values.items()
    }


def _digits(rows: Sequence[Row], measure: str) -> int:
    """So many places after the point that the middle number has three digits that count."""
    middle = median(abs(getattr(row, measure)) for row in rows)
    return min(5, max(0, 2 - math.floor(math.log10(middle or 1.0))))


def results(rows: Sequence[Row], measure: str, grids: dict[str, str], calls: Sequence[int]) -> str:
    """A row for each solver, the best at `AT` calls first; the lowest number of each column is bold."""
    found = {name: each for name, each in scores(rows, measure).items() if name not in REFERENCES}
    digits = _digits(rows, measure)
    lowest = {
        number: min((by[number].mean for by in found.values() if number in by), default=math.nan)
        for number in calls
    }

    def cell(by_calls: dict[int, Spread], number: int) -> str:
        if number not in by_calls:
            return ""
        text = by_calls[number].text(digits)
        return f"**{text}**" if by_calls[number].mean == lowest[number] else text

    order = sorted(found, key=lambda name: _rank(found[name]))
    lines = [
        [_called(name), grids.get(name, ""), *(cell(found[name], number) for number in calls)] for name in order
    ]
    return table(["sampler", "grid", *(f"{number} calls" for number in calls)], lines, texts=(0, 1))


def _rank(by_calls: dict[int, Spread]) -> float:
    return by_calls[AT].mean if AT in by_calls else math.inf


def _called(name: str) -> str:
    """With the other names of the same walk."""
    return ", ".join([name, *(other for other, same in SAME.items() if same == name)])


def references(rows: Sequence[Row]) -> str:
    """The long walks that the short ones are held against."""
    kid, frechet = scores(rows, "kid"), scores(rows, "frechet")
    digits = [_digits(rows, measure) for measure in ("kid", "frechet")]
    lines = []
    for name in (name for name in REFERENCES if name in kid):
        (calls,) = kid[name]
        numbers = [one[name][calls].text(places) for one, places in zip((kid, frechet), digits, strict=True)]
        lines.append([REFERENCES[name].format(calls), *numbers])
    return table(["reference", "kernel distance", "Fréchet distance"], lines)


def findings(rows: Sequence[Row], tuning: Sequence[Row]) -> list[str]:
    """What the numbers say of the recommended sampler, honest about what they don't."""
    found = scores(rows, "kid")
    chosen = recommended(tuning)
    if chosen is None or LONG not in found or AT not in found.get(chosen.solver, {}):
        return ["Not enough was measured to recommend anything."]
    short, (long,) = found[chosen.solver][AT], found[LONG].values()
    digits = _digits(rows, "kid")
    held = short.mean <= long.mean + (0 if math.isnan(long.deviation) else long.deviation)
    lines = [
        f"**{chosen.solver}** on the grid {chosen.spacing} has at {AT} calls a kernel distance of "
        f"{short.text(digits)}, and 250 steps of DDIM one of {long.text(digits)}: "
        + ("no worse within its spread." if held else "worse by more than its spread."),
        "It was the best at 8 calls on a seed of its own, which counts in no other number here.",
    ]
    best = min((name for name in found if AT in found[name]), key=lambda name: found[name][AT].mean)
    if best != chosen.solver:
        lines.append(f"On the seeds of the table {best} is ahead of it: {found[best][AT].text(digits)}.")
    cheapest = [
        (number, name)
        for name, by_calls in found.items()
        if name not in REFERENCES
        for number, one in by_calls.items()
        if one.mean <= long.mean + (0 if math.isnan(long.deviation) else long.deviation)
    ]
    if cheapest:
        number, name = min(cheapest, key=lambda pair: (pair[0], found[pair[1]][pair[0]].mean))
        lines.append(
            f"The fewest calls that are no worse within the spread of 250-step DDIM: {number}, by {name}."
        )
    return lines


def recommended(tuning: Sequence[Row]) -> Row | None:
    """The best at `AT` calls on the seed that grids are chosen on."""
    return min((row for row in tuning if row.calls == AT), key=lambda row: row.kid, default=None)


def grids_of(tuning: Sequence[Row]) -> dict[str, str]:
    """Each solver's best grid at `AT` calls."""
    best: dict[str, Row] = {}
    for row in tuning:
        if row.solver not in best or row.kid < best[row.solver].kid:
            best[row.solver] = row
    return {name: row.spacing for name, row in best.items()}


def draw(rows: Sequence[Row], figure: "Figure") -> None:
    """Kernel distance over calls: the best in colour, the others faint, the long reference as a band."""
    from matplotlib.ticker import NullLocator

    axes = figure.add_subplot()
    found = scores(rows, "kid")
    lines = sorted((name for name in found if name not in REFERENCES), key=lambda name: _rank(found[name]))
    ticks = sorted({calls for name in lines for calls in found[name]})
    axes.set(xscale="log", xlabel="network calls a picture", title="Kernel distance to held-out pictures")
    # Linear, because near 0 the estimate also falls below it; the worst at few calls leave the picture.
    shown = [one.mean for name in lines[:_SHOWN] for one in found[name].values()]
    long = [one.mean for name in (LONG, OWN) for one in found.get(name, {}).values()]
    axes.set_ylim(min(0.0, *shown, *long), 1.15 * max(*shown, *long))
    axes.set_xticks(ticks, [str(calls) for calls in ticks])
    axes.xaxis.set_minor_locator(NullLocator())
    _draw_references(found, axes, ticks[0])
    colours = dict(zip(lines, COLOURS[:_SHOWN], strict=False))
    for name in reversed(lines):
        colour = colours.get(name, FAINT)
        means = [one.mean for one in found[name].values()]
        width, alpha = (1.8, 1.0) if name in colours else (0.8, 0.6)
        axes.plot(list(found[name]), means, "o-", color=colour, markersize=3, linewidth=width, alpha=alpha)
        axes.plot([], [], "o-", color=colour, markersize=3, linewidth=width, label=name)
    handles, names = axes.get_legend_handles_labels()
    axes.legend(
        handles[::-1], names[::-1], title="best at 8 calls first", fontsize=8, frameon=False, loc="upper right"
    )


def _draw_references(found: Scores, axes: "Axes", left: float) -> None:
    long = [(name, *one) for name in (LONG, OWN) for one in found.get(name, {}).items()]
    for name, calls, one in long:
        axes.axhline(one.mean, color=INK, linestyle="--" if name == LONG else ":", linewidth=0.9)
        if name == LONG and not math.isnan(one.deviation):
            axes.axhspan(one.mean - one.deviation, one.mean + one.deviation, color=INK, alpha=0.08, lw=0)
        above = one.mean == max(other.mean for _, _, other in long)
        axes.annotate(
            REFERENCES[name].format(calls),
            (left, one.mean),
            xytext=(0, 3 if above else -3),
            textcoords="offset points",
            va="bottom" if above else "top",
            fontsize=7.5,
        )


def page(
    rows: Sequence[Row], tuning: Sequence[Row], facts: str, command: str, judge: str, date: str
) -> list[str]:
    """The paragraphs of docs/solvers.md."""
    calls = sorted({row.calls for row in rows if row.solver not in REFERENCES})
    grids = grids_of(tuning)
    seeds, samples = len({row.seed for row in rows}), max(row.samples for row in rows)
    minutes = sum(row.seconds for row in (*rows, *tuning)) / 60
    first, *more = findings(rows, tuning)
    return [
        "# Samplers at the same price",
        first,
        *(["\n".join(f"- {line}" for line in more)] if more else []),
        f"How good are the pictures of one trained network at so many calls of it? {facts}. Lower is better; "
        f"mean ± standard deviation over {count(seeds, 'seed')} of {count(samples, 'picture')} each, the same "
        "start noises for all samplers. The best of each column is bold, and the order is that at 8 calls.",
        "![Kernel distance over network calls](solvers.png)",
        "## Kernel distance",
        references(rows),
        results(rows, "kid", grids, calls),
        "## Fréchet distance",
        results(rows, "frechet", grids, calls),
        "## How it was measured",
        f"- {judge}\n"
        "- heun takes two calls a step and gets half the steps. Each sampler has the grid that was best for it "
        f"at {AT} calls on a seed that is not in the tables. "
        "Names in one row are one walk by two names.\n"
        "- The Fréchet distance of few pictures is biased upwards, for all rows alike; the kernel distance is "
        "not, and can fall below 0 where nothing is left to tell apart.",
        f"```sh\n{command}\n```",
        f"It took {count(round(minutes), 'minute')}, on {date}. {machine()}.",
    ]
