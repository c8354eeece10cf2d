"""Tables and plot of `solvers`: distances of samplers by number of network calls, with spreads over seeds."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, median, stdev
from typing import TYPE_CHECKING, NamedTuple

from benchmarks.report import table
from unnoise.pictures.charts import COLOURS, FAINT, INK

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

AT = 8
"""Number of calls at which the grids are chosen, and a sampler is recommended."""

LONG, OWN, REAL = "ddim 250", "recipe", "real"
"""References: 250 steps of deterministic DDIM, the preset's own sampler, and real pictures as samples."""

_SHOWN = 5
REFERENCES = {
    LONG: "DDIM, deterministic, {} calls",
    OWN: "the preset's own, {} calls",
    REAL: "training pictures in the samples' place",
}


@dataclass(frozen=True)
class Row:
    """Distances of one sampler with one seed.

    Args:
        solver, spacing: the sampler and its grid.
        calls: network calls at which it is compared; `taken` are those that it made.
        seed, samples: of the samples.
        weights: digest of the network's weights.
        kid, frechet: kernel and Fréchet distance.
        seconds: that it took.
    """

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
    """Mean and standard deviation over seeds; nan for a single seed."""

    mean: float
    deviation: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """The spread of the values of several seeds."""
        return cls(fmean(values), stdev(values) if len(values) > 1 else math.nan)

    def text(self, digits: int) -> str:
        """`0.123 ± 0.004`."""
        known = "" if math.isnan(self.deviation) else f" ± {self.deviation:.{digits}f}"
        return f"{self.mean:.{digits}f}{known}"


Scores = dict[str, dict[int, Spread]]
"""Spreads by sampler and number of calls."""


def scores(rows: Sequence[Row], measure: str) -> Scores:
    """Spread of a measure over the seeds, for each sampler and number of calls."""
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
    """A row for each sampler, the best at `AT` calls first; the lowest number of each column is bold."""
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
    lines = [[name, grids.get(name, ""), *(cell(found[name], number) for number in calls)] for name in order]
    return table(["sampler", "grid", *(f"{number} calls" for number in calls)], lines, texts=(0, 1))


def _rank(by_calls: dict[int, Spread]) -> float:
    return by_calls[AT].mean if AT in by_calls else math.inf


def references(rows: Sequence[Row]) -> str:
    """The table of the references."""
    kid, frechet = scores(rows, "kid"), scores(rows, "frechet")
    digits = [_digits(rows, measure) for measure in ("kid", "frechet")]
    lines = []
    for name in (name for name in REFERENCES if name in kid):
        (calls,) = kid[name]
        numbers = [one[name][calls].text(places) for one, places in zip((kid, frechet), digits, strict=True)]
        lines.append([REFERENCES[name].format(calls), *numbers])
    return table(["reference", "kernel distance", "Fréchet distance"], lines)


def recommendation(rows: Sequence[Row], tuning: Sequence[Row]) -> str:
    """The sampler that was best on the tuning seed, the best in the table, and the cheapest one like DDIM 250.

    A sampler is like 250 steps of DDIM if its mean kernel distance is within their spread.
    """
    found, digits = scores(rows, "kid"), _digits(rows, "kid")
    solvers = {name: each for name, each in found.items() if name not in REFERENCES}
    chosen, reference = recommended(tuning), next(iter(found.get(LONG, {}).values()), None)
    lines = []

    def add(title: str, name: str, calls: int) -> None:
        lines.append([title, name, str(calls), found[name][calls].text(digits)])

    if chosen is not None and AT in solvers.get(chosen.solver, {}):
        add("best on the tuning seed", chosen.solver, AT)
    if best := min(
        (name for name in solvers if AT in solvers[name]), key=lambda name: found[name][AT], default=""
    ):
        add("best in the table", best, AT)
    if reference is not None:
        limit = reference.mean + (0 if math.isnan(reference.deviation) else reference.deviation)
        like = [
            (calls, one, name) for name in solvers for calls, one in found[name].items() if one.mean <= limit
        ]
        if like:
            calls, _, name = min(like)
            add("fewest calls, no worse than DDIM 250 within its spread", name, calls)
        add("reference", LONG, *found[LONG])
    return table(["", "sampler", "calls", "kernel distance"], lines, texts=(0, 1))


def recommended(tuning: Sequence[Row]) -> Row | None:
    """The best row at `AT` calls on the seed that the grids are chosen on."""
    return min((row for row in tuning if row.calls == AT), key=lambda row: row.kid, default=None)


def grids_of(tuning: Sequence[Row]) -> dict[str, str]:
    """Each sampler's best grid at `AT` calls."""
    best: dict[str, Row] = {}
    for row in tuning:
        if row.solver not in best or row.kid < best[row.solver].kid:
            best[row.solver] = row
    return {name: row.spacing for name, row in best.items()}


def draw(rows: Sequence[Row], figure: "Figure") -> None:
    """Kernel distance over calls: the best samplers in colour, the others grey, DDIM 250 as a band."""
    from matplotlib.ticker import NullLocator

    axes = figure.add_subplot()
    found = scores(rows, "kid")
    lines = sorted((name for name in found if name not in REFERENCES), key=lambda name: _rank(found[name]))
    ticks = sorted({calls for name in lines for calls in found[name]})
    axes.set(xscale="log", xlabel="network calls a picture", title="Kernel distance to held-out pictures")
    # Linear, because the estimate can fall below 0; the worst at few calls are outside the axes.
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


def tables(rows: Sequence[Row], tuning: Sequence[Row]) -> dict[str, str]:
    """The tables of docs/solvers.md."""
    calls = sorted({row.calls for row in rows if row.solver not in REFERENCES})
    grids = grids_of(tuning)
    return {
        "recommendation": recommendation(rows, tuning),
        "references": references(rows),
        "kernel-distance": results(rows, "kid", grids, calls),
        "frechet-distance": results(rows, "frechet", grids, calls),
    }
