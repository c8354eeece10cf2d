"""A difference gets a mark where it exceeds the spread over seeds, and every sentence is computed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from statistics import fmean, stdev
from typing import NamedTuple

import numpy as np

from benchmarks.judging import CONFIDENT, NOISE_LEVELS, SAMPLES, Judge
from benchmarks.reports import machine, table
from benchmarks.variants import BASELINE, VARIANTS, Variant
from unnoise.cli.console import count


@dataclass(frozen=True, kw_only=True)
class Row:
    """One finished run."""

    changes: tuple[str, ...]
    seed: int
    steps: int
    parameters: int
    noise_error: float
    image_error: float
    frechet: float
    confident: float
    seconds: float


class Measure(NamedTuple):
    """A column: what it is called, in which units of the row it is shown, and with how many digits."""

    field: str
    title: str
    unit: float
    digits: int
    smaller_is_better: bool

    def values(self, rows: Sequence[Row]) -> list[float]:
        """Of these rows, in the unit of the column."""
        return [getattr(row, self.field) / self.unit for row in rows]


MEASURES = (
    Measure("noise_error", "noise error", 1.0, 4, smaller_is_better=True),
    Measure("image_error", "image error, 1/1000", 1e-3, 2, smaller_is_better=True),
    Measure("frechet", "Fréchet distance", 1.0, 2, smaller_is_better=True),
    Measure("confident", "confident pictures, %", 0.01, 1, smaller_is_better=False),
)


class Summary(NamedTuple):
    """Mean, and standard deviation over seeds: none where there is but one."""

    mean: float
    spread: float | None


def summarize(values: Sequence[float]) -> Summary:
    """Of at least one value; the standard deviation has n - 1 below."""
    return Summary(fmean(values), stdev(values) if len(values) > 1 else None)


def certainty(one: Summary, baseline: Summary) -> int:
    """How many times the difference exceeds the spread of a difference, (s^2 + s_0^2)^(1/2): 0, 1 or 2.

    Without a spread nothing can be told: 0.
    """
    if one.spread is None or baseline.spread is None:
        return 0
    difference, spread = abs(one.mean - baseline.mean), (one.spread**2 + baseline.spread**2) ** 0.5
    return int(difference > spread) + int(difference > 2 * spread)


def better(measure: Measure, one: Summary, baseline: Summary) -> bool:
    """Whether it lies on the better side of the baseline."""
    return (one.mean < baseline.mean) == measure.smaller_is_better


def chances(seeds: int) -> tuple[float, float]:
    """How often `certainty` is at least 1, and 2, for two samples of one normal distribution."""
    draws = np.random.default_rng(0).standard_normal((2, 100_000, seeds))
    difference = np.abs(np.subtract(*draws.mean(-1)))
    spread = np.sqrt(np.square(draws.std(-1, ddof=1)).sum(0))
    once, twice = (float((difference > times * spread).mean()) for times in (1, 2))
    return once, twice


def cell(measure: Measure, rows: Sequence[Row], baseline: Sequence[Row]) -> str:
    """`0.1234 ± 0.0012 ▲`: mean, spread, and a mark where it is better (▲) or worse (▼) than the baseline."""
    one, base = (summarize(measure.values(each)) for each in (rows, baseline))
    text = f"{one.mean:.{measure.digits}f}"
    if one.spread is not None:
        text += f" ± {one.spread:.{measure.digits}f}"
    mark = ("▲" if better(measure, one, base) else "▼") * certainty(one, base)
    return f"{text} {mark}".strip()


def finding(variant: Variant, rows: Sequence[Row], baseline: Sequence[Row]) -> str:
    """A sentence: where the variant differs from the baseline by more than the spread, and by how much."""
    differences = []
    for measure in MEASURES:
        one, base = (summarize(measure.values(each)) for each in (rows, baseline))
        if certain := certainty(one, base):
            side = "better" if better(measure, one, base) else "worse"
            clearly = "clearly " if certain == 2 else ""
            name = measure.title.partition(",")[0]
            differences.append(f"{name} {clearly}{side} ({one.mean / base.mean - 1:+.0%})")
    return f"{variant.choice}: {', '.join(differences) or 'no difference beyond the spread'}."


def findings(rows: Sequence[Row]) -> Iterator[str]:
    """One line for each question that has rows."""
    baseline = _of(BASELINE, rows)
    for question in dict.fromkeys(variant.question for variant in VARIANTS[1:]):
        asked = [variant for variant in VARIANTS if variant.question == question and _of(variant, rows)]
        told = [finding(variant, _of(variant, rows), baseline) for variant in asked]
        if told:
            yield f"- **{question}**, {' '.join(told)}"


def _of(variant: Variant, rows: Sequence[Row]) -> list[Row]:
    return [row for row in rows if row.changes == variant.changes]


def headline(rows: Sequence[Row]) -> str:
    """How many choices make pictures that are nearer to real ones, and how many make worse ones."""
    measure, baseline = MEASURES[2], _of(BASELINE, rows)
    base = summarize(measure.values(baseline))
    told: dict[bool, list[str]] = {True: [], False: []}
    others = [variant for variant in VARIANTS[1:] if _of(variant, rows)]
    for variant in others:
        one = summarize(measure.values(_of(variant, rows)))
        if certainty(one, base):
            told[better(measure, one, base)].append(variant.choice)
    lower, higher = (f"{len(names)} ({', '.join(names)})" if names else "none" for names in told.values())
    return (
        f"Of {count(len(others), 'choice')} changed one at a time, {lower} brought the Fréchet "
        f"distance below the baseline's by more than the spread, and {higher} above it."
    )


def results(rows: Sequence[Row], steps: int) -> str:
    """The table: baseline first, then each variant that has rows, each with its command."""
    baseline = _of(BASELINE, rows)
    lines = [
        [
            variant.question,
            variant.choice,
            *(cell(measure, found, baseline) for measure in MEASURES),
            str(len(found)),
            f"{found[0].parameters:,}",
            f"`{variant.command(steps)}`",
        ]
        for variant in VARIANTS
        if (found := _of(variant, rows))
    ]
    header = ["question", "choice", *(one.title for one in MEASURES), "runs", "parameters", "command"]
    return table(header, lines, texts=(0, 1, len(header) - 1))


def page(rows: Sequence[Row], judge: Judge, steps: int) -> list[str]:
    """The paragraphs of docs/ablations.md; all rows are of `steps` steps."""
    if not _of(BASELINE, rows):
        return ["# Ablations", "No run of the baseline is finished, so there is nothing to compare with yet."]
    seeds = len(_of(BASELINE, rows))
    levels = ", ".join(f"{level:g}" for level in NOISE_LEVELS)
    return [
        "# Ablations",
        headline(rows),
        f"What does each choice of the studies change? Every row trains the digits at 16 x 16 for {steps} "
        f"steps of 64 pictures, with one choice changed; mean ± standard deviation over seeds ({seeds} of the "
        f"baseline). {count(len(rows), 'run')} took {sum(row.seconds for row in rows) / 60:.0f} minutes on "
        f"{machine()}, {datetime.now(UTC):%Y-%m-%d}. `python -m benchmarks.ablations --steps {steps}` makes "
        "this page; `--seed 1` and `--seed 2` in a command give its other runs.",
        results(rows, steps),
        "▲ better, ▼ worse than the baseline by more than the spread of a difference, (s² + s₀²)^½; two marks: "
        "by more than twice as much.",
        "## What is measured",
        "- **noise error, image error**: mean squared errors of the predicted noises, and of the predicted "
        f"images in [0, 1], on held-out digits with the same noises for every run, {levels} times as strong "
        "as the digits' own standard deviation. The noisy pixels are the same whatever the normalisation.\n"
        f"- **Fréchet distance, confident**: {SAMPLES} pictures of 20 steps, seen by a small classifier "
        f"({judge.accuracy:.1%} right on digits that it was not trained on). The distance is between the 32 "
        "features of its last hidden layer and those of real digits: it is no standard FID, and compares with "
        f"nothing outside this page. Confident are the pictures to whose class it gives more than "
        f"{CONFIDENT:.0%}. "
        f"{SAMPLES} real digits that it was not trained on have a distance of {judge.of_real.frechet:.2f}, and "
        f"{judge.of_real.confident:.1%} are confident; of evenly distributed noise it is "
        f"{judge.of_noise.frechet:.2f}, and {judge.of_noise.confident:.1%}.",
        "## What it shows",
        "\n".join(findings(rows)) or "Only the baseline is finished.",
        "## Doubts",
        "\n".join(f"- {doubt}" for doubt in doubts(rows, steps, seeds)),
    ]


def doubts(rows: Sequence[Row], steps: int, seeds: int) -> list[str]:
    """Why not to believe too much of it."""
    compared = (sum(bool(_of(variant, rows)) for variant in VARIANTS) - 1) * len(MEASURES)
    lines = [
        f"{steps} steps are the beginning of a training: what learns fast is ahead, and may not stay so.",
        "The learning rate is the same for all, and suits some better; blocks and attention also change the "
        "number of parameters and the time of a step, which a budget in steps does not count.",
        "Seeds also choose which digits are held out, so that the spread contains easy and hard digits.",
        "The classifier knows nothing but digits, and may be sure of what is none: read both of its numbers.",
        "The digits are small and simple; attention over 8 x 8 patches has little to do.",
    ]
    if seeds > 1:
        once, twice = chances(seeds)
        lines.append(
            f"Of {compared} comparisons with {seeds} seeds, if nothing differed, chance alone would mark about "
            f"{once * compared:.0f}, and about {twice * compared:.0f} of them twice."
        )
    return lines
