"""Who draws better after so many minutes: tables, curves and pictures, and sentences computed from the rows."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median

from benchmarks import quality_pictures
from benchmarks.contenders import ENTRIES
from benchmarks.quality_rows import NOISE, OURS, REAL, Part, Row, Spread, merged, parts, passing
from benchmarks.reports import publish, table
from unnoise.cli.console import count
from unnoise.utils.errors import require
from unnoise.utils.tables import read_table, write_table

TABLE = "time_to_quality.csv"

TITLES: Mapping[str, str] = {name: entry.title for name, entry in ENTRIES.items()} | {
    REAL: "real pictures",
    NOISE: "noise",
}

COMMAND = (
    "python -m benchmarks.time_to_quality --images fashion-mnist --images emoji=PICTURES --size 32 "
    "--seeds 0 1 2"
)


def findings(part: Part, features: str) -> list[str]:
    """Ours beside the best of the others, after the last mark."""
    last = {name: found for name in part.names if (found := part.last(name, features, "fd"))}
    peers = {name: found for name, found in last.items() if name != OURS}
    if OURS not in last or not peers:
        return ["Ours and another's were not both measured yet."]
    best = min(peers, key=lambda name: peers[name].middle)
    ours, theirs = last[OURS], peers[best]
    lines = [
        f"After {count_of_minutes(part.budget)} ours has a distance of {ours.text}, and the best of the "
        f"others, {TITLES[best]}, one of {theirs.text}: ours / theirs is **{ours.middle / theirs.middle:.2f}**"
        + (", and the spreads overlap." if overlapping(ours, theirs) else "; the spreads do not overlap.")
    ]
    both = sorted({*part.seeds(OURS)} & {*part.seeds(best)})
    if len(both) > 1:
        alone = [Part([row for row in part.rows if row.seed == seed]) for seed in both]
        pairs = [[one.last(name, features, "fd") for name in (OURS, best)] for one in alone]
        ratios = [f"{mine.middle / its.middle:.2f}" for mine, its in pairs if mine and its]
        lines.append(f"Seed by seed ours / theirs is {', '.join(ratios)}.")
    curve, its = part.curve(OURS, features, "fd"), part.curve(best, features, "fd")
    passed = passing(curve, its[max(its)].middle)
    if passed is None:
        lines.append("Ours does not reach that distance in these minutes.")
    else:
        lines.append(
            f"Ours passes it after about {count_of_minutes(passed[0])} (the first mark below it: "
            f"{passed[1]:g}), by {part.numbers()[0]} pictures of each."
        )
    return lines


def count_of_minutes(minutes: float) -> str:
    """`10 minutes`, `0.7 minutes`."""
    return f"{minutes:.2g} minute{'' if minutes == 1 else 's'}"


def overlapping(left: Spread, right: Spread) -> bool:
    """Whether two spreads share anything."""
    return left.low <= right.high and right.low <= left.high


def scores(part: Part, features: str, measure: str) -> str:
    """A contender a row, a mark a column; the last column by the most pictures."""
    _, most = part.numbers()
    curves = {name: part.curve(name, features, measure) for name in part.names}
    marks = sorted({mark for curve in curves.values() for mark in curve})
    lines = []
    for name in [*part.names, REAL, NOISE]:
        curve = curves.get(name, part.curve(name, features, measure))
        cells = [curve[mark].text if mark in curve else "" for mark in marks]
        whole = part.last(name, features, measure)
        lines.append([TITLES[name], *cells, whole.text if whole else ""])
    return table(["", *(f"{mark:g} min" for mark in marks), f"{part.budget:g} min, {most:,} pictures"], lines)


def facts(part: Part) -> str:
    """How fast each trained, and how it draws."""
    lines = []
    for name in part.names:
        mine = [row for row in part.rows if row.contender == name and row.minutes == part.budget]
        if not mine:
            continue
        rate, images = (round(median(getattr(row, field) for row in mine)) for field in ("rate", "images"))
        drawing = 1000 * median(row.seconds for row in mine)
        numbers = [f"{mine[0].parameters:,}", f"{rate:,}", f"{images:,}", str(mine[0].calls), f"{drawing:,.0f}"]
        lines.append([f"{TITLES[name]} {mine[0].version}", mine[0].sampler or "", *numbers])
    header = ["", "sampler", "parameters", "images/s", "images seen", "calls", "s to draw 1,000"]
    return table(header, lines, texts=(0, 1))


def seeds(part: Part) -> str:
    """Of how many seeds each number is, and what stands in its brackets."""
    several = {name: found for name in part.names if len(found := part.seeds(name)) > 1}
    once = [TITLES[name] for name in part.names if name not in several]
    interval = "the 95 % interval over pictures"
    if not several:
        return f"Of one seed, and in brackets {interval}."
    most = max(len(found) for found in several.values())
    fewer = [f"{len(found)} of {TITLES[name]}" for name, found in several.items() if len(found) < most]
    text = f"Medians of {', '.join([count(most, 'seed'), *fewer])}, in brackets the lowest and the highest"
    return f"{text}; of one seed of {' and '.join(once)}, in brackets {interval}." if once else f"{text}."


def section(part: Part, docs: Path) -> list[str]:
    """All about one data set."""
    row, (few, most) = part.rows[0], part.numbers()
    kind = {1: "grey ", 3: "coloured "}.get(row.channels, "")
    texts = [
        f"## {row.dataset}, {count_of_minutes(part.budget)}",
        f"{row.pictures:,} {kind}pictures of {row.side} x {row.side}; {few:,} at each mark were drawn, and "
        f"{most:,} for the last column. {seeds(part)}",
        f"![Distance over minutes](time_to_quality-{part.slug}.png)",
    ]
    for features in part.features:
        texts += [
            f"### Seen by {'a classifier of these pictures' if features == 'classes' else features}",
            f"{next(row.judge for row in part.rows if row.features == features)}.",
            "\n".join(f"- {line}" for line in findings(part, features)),
            "Fréchet distance:",
            scores(part, features, "fd"),
            "Kernel distance:",
            scores(part, features, "kid"),
        ]
    if (docs / f"time_to_quality-{part.slug}-samples.png").is_file():
        texts.append(f"![The first pictures of each](time_to_quality-{part.slug}-samples.png)")
    return [*texts, facts(part)]


def opening(rows: Sequence[Row]) -> list[str]:
    """What was asked, and the answer in a line for each data set."""
    lines = [f"- {part.rows[0].dataset}: {findings(part, part.features[0])[0]}" for part in parts(rows)]
    return [
        "# Quality after minutes of training",
        "How good are the pictures that libraries learn to draw from the same pictures in the same minutes, on "
        "the same threads? Each trains with the recipe of its own documentation and draws with the best of its "
        "own samplers of at most 30 calls ([found here](peer_samplers.md)); lower distances are better.",
        "\n".join(lines),
    ]


def ending(rows: Sequence[Row]) -> list[str]:
    """How it was measured."""
    told = [f"- **{entry.title}**: {entry.words}." for name, entry in ENTRIES.items() if _has(rows, name)]
    machines = dict.fromkeys(row.machine for row in rows)
    dates = sorted({row.measured for row in rows})
    return [
        "## How it was measured",
        "\n".join(told),
        "- Contenders train in turns of 20 seconds, each by a clock of its own that counts nothing but steps: "
        "batches come from memory for all, and guards, logs and samples on the way are left out for all. A "
        "learning rate that falls does so over these minutes, so that earlier marks are of a run that is still "
        "to end.\n"
        "- All draw with averaged weights, from as many seeds, rounded to bytes.\n"
        "- The Fréchet distance of few pictures is biased upwards, for all alike: compare columns of equally "
        "many. What real pictures get in the samples' place is the least to hope for. The kernel distance has "
        "no such bias, and falls below 0 where nothing is left to tell apart.\n"
        "- emoji: the 3,786 pictures that `python -m benchmarks.emoji` sorts by category, on white.\n"
        "- Where a set has no pictures of its own to test with, samples are compared with those that were "
        "trained on, and real pictures are some of these beside the others.",
        f"```sh\n{COMMAND}\n```",
        f"Measured on {' to '.join(dict.fromkeys((dates[0], dates[-1])))} on: {'; '.join(machines)}.",
    ]


def _has(rows: Sequence[Row], name: str) -> bool:
    return any(row.contender == name for row in rows)


def publish_page(rows: Sequence[Row], work: Path, docs: Path) -> None:
    """Adds the rows to those in docs, and draws the page and its pictures of all of them."""
    known = merged(read_table(docs / TABLE, Row), rows)
    require(bool(known), f"A page is drawn of rows, but there are none in {work} and {docs}: measure first.")
    write_table(docs / TABLE, Row, known)
    texts = []
    for part in parts(known):
        quality_pictures.draw_curves(part, TITLES, docs / f"time_to_quality-{part.slug}.png")
        folder = work / f"{part.rows[0].dataset}-{part.budget:g}" / str(min(row.seed for row in part.rows))
        names = [*part.names, REAL]
        quality_pictures.draw_samples(folder, names, TITLES, docs / f"time_to_quality-{part.slug}-samples.png")
        texts += section(part, docs)
    publish(docs / "time_to_quality.md", *opening(known), *texts, *ending(known))
