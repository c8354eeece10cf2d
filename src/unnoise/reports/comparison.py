"""Runs beside one another: the same seeds, the same numbers, and what they were told differently."""

import shlex
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple, TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor

from unnoise import pictures
from unnoise.reports.comparability import why_losses_differ, why_scores_differ
from unnoise.reports.curves import compared_losses, compared_quality
from unnoise.reports.figures import MISSING, between, count, duration, number, percent
from unnoise.reports.folders import Folder
from unnoise.reports.page import Cell, Gallery, Heading, Page, Picture, Section, Table, Text
from unnoise.reports.records import Interval
from unnoise.reports.report import described
from unnoise.reports.settings import differences, readable
from unnoise.utils.errors import require

SomeImages: TypeAlias = Float[Tensor, "_ _ _ _"]
"""Pictures in [0, 1] of one run, (N, C, H, W); those of another may have another shape."""

_BOLD = "Bold: the best beyond doubt, since its 95% interval meets no other."

_TILE = 128
"""Pixels to which small pictures are enlarged, by a whole factor."""


class Measure(NamedTuple):
    """A row of the table: its name, a cell for each run, and whether its best cell is marked."""

    name: str
    cells: list[Cell]


def names_of(folders: Sequence[Folder]) -> list[str]:
    """The runs' names; where two are the same, as much of their paths as tells them apart."""
    parts = [folder.run.path.resolve().parts for folder in folders]
    for length in range(1, max(map(len, parts)) + 1):
        names = ["/".join(each[-length:]) for each in parts]
        if len(set(names)) == len(names):
            return names
    return [f"{folder.name} ({place})" for place, folder in enumerate(folders, start=1)]


def draw(folder: Folder, count: int, num_steps: int | None, device: torch.device | str) -> SomeImages:
    """The pictures of the seeds 0, 1, ... by the run's averaged weights, on the CPU.

    As the run samples, in its own number of steps unless another is given; classes in turn, where it knows
    some.

    Raises:
        UnnoiseError: for fewer than 1 picture, or a run without weights.
    """
    require(count >= 1, f"Runs are compared on at least 1 seed, but {count} were asked for.")
    config = folder.run.config
    sampling = config.recipe.sampling
    sampling = sampling if num_steps is None else replace(sampling, num_steps=num_steps)
    diffusion = folder.run.load(device)
    return diffusion.generate(count, sampling=sampling, classes=config.classes(range(count))).cpu()


def compare(folders: Sequence[Folder], drawn: Sequence[SomeImages]) -> Page:
    """The page of several runs, with the pictures that each has drawn of the same seeds."""
    names = names_of(folders)
    scores, losses = why_scores_differ(folders), why_losses_differ(folders)
    rows = tuple((Cell(measure.name), *measure.cells) for measure in measures(folders))
    sections: list[Section] = [
        Heading("The same seeds"),
        _gallery(names, drawn),
        Heading("Numbers"),
        Table(("", *names), rows, caption=_BOLD),
        *(Text(sentence) for sentence in (scores, losses) if sentence),
        *_missing(folders),
    ]
    charts = [chart for chart in (compared_losses(folders, names), compared_quality(folders, names)) if chart]
    if charts:
        sections += [Heading("On the way"), *charts]
    sections += [Heading("What differs in config.json"), _differing(folders, names)]
    lead = "; ".join(dict.fromkeys(described(folder) for folder in folders))
    return Page(" · ".join(names), f"{count(len(folders), 'run')}: {lead}.", tuple(sections))


def measures(folders: Sequence[Folder]) -> list[Measure]:
    """The rows of the table; the best of a row is marked where its numbers can be compared."""
    lasts = [folder.last for folder in folders]
    rows = [
        Measure("images seen", [Cell(f"{last.images:,}" if last else MISSING) for last in lasts]),
        Measure("time", [Cell(duration(last.seconds) if last else MISSING) for last in lasts]),
        Measure("parameters", [Cell(f"{folder.parameters:,}") for folder in folders]),
    ]
    losses = [Interval(folder.held_out[-1][1]) if folder.held_out else None for folder in folders]
    fair = not why_losses_differ(folders)
    rows.append(_measure("held-out loss", losses, "lower" if fair else None))
    bits = [folder.evaluation.bits_per_dim.get("total") for folder in folders]
    errors = [_within(each.mean, each.standard_error) if each else None for each in bits]
    same = len({folder.run.config.data.fingerprint for folder in folders}) == 1
    rows.append(_measure("bits/dim", errors, "lower" if same else None))
    rows += _scores(folders)
    found = [folder.evaluation.memorisation for folder in folders]
    copied = [each.copied if each else None for each in found]
    rows.append(_measure("copied", copied, None, percents=True))
    return [row for row in rows if any(cell.text != MISSING for cell in row.cells)]


def _within(mean: float, error: float | None) -> Interval:
    # 1.96 standard errors hold 95% of a normal distribution.
    return Interval(mean) if error is None else Interval(mean, mean - 1.96 * error, mean + 1.96 * error)


def _scores(folders: Sequence[Folder]) -> list[Measure]:
    fair = not why_scores_differ(folders)
    known = [
        {score.name: score for score in folder.evaluation.quality.scores} if folder.evaluation.quality else {}
        for folder in folders
    ]
    rows = []
    for name in dict.fromkeys(name for scores in known for name in scores):
        each = [scores.get(name) for scores in known]
        better = next(score.better for score in each if score)
        rows.append(_measure(name, each, better if fair else None))
    return rows


def _measure(
    name: str, values: Sequence[Interval | None], better: str | None, *, percents: bool = False
) -> Measure:
    """A row of numbers with their intervals; `better` says which end is marked, None marks none."""
    best = _best(values, better) if better else None
    write = percent if percents else number
    cells = [
        Cell(MISSING)
        if value is None
        else Cell(write(value.value), between(value.low, value.high, percents=percents), place == best)
        for place, value in enumerate(values)
    ]
    return Measure(name, cells)


def _best(values: Sequence[Interval | None], better: str) -> int | None:
    """Which is better than all others beyond doubt: no other interval meets its own."""
    sign = -1.0 if better == "higher" else 1.0
    ends: list[tuple[float, float, int]] = []
    for place, value in enumerate(values):
        if value is not None and value.value is not None:
            known = [sign * (value.value if end is None else end) for end in (value.low, value.high)]
            ends.append((min(known), max(known), place))
    ends.sort(key=lambda end: end[1])
    clear = len(ends) > 1 and all(ends[0][1] < end[0] for end in ends[1:])
    return ends[0][2] if clear else None


def _gallery(names: Sequence[str], drawn: Sequence[SomeImages]) -> Gallery:
    seeds = len(drawn[0])
    rows = []
    for name, images in zip(names, drawn, strict=True):
        shown = images if images.shape[1] <= 4 else images[:, :3]
        scale = max(1, _TILE // max(shown.shape[2:]))
        tiles = tuple(
            Picture(pictures.grid(image[None], columns=1, scale=scale, gap=0), alt=f"{name}, seed {seed}")
            for seed, image in enumerate(shown)
        )
        rows.append((name, tiles))
    caption = "Each column begins with the same noise, as far as the runs' pictures have the same size."
    return Gallery(tuple(f"seed {seed}" for seed in range(seeds)), tuple(rows), caption)


def _missing(folders: Sequence[Folder]) -> list[Section]:
    unmeasured = [folder for folder in folders if folder.evaluation.quality is None]
    return [
        Text(f"{folder.name} has no scores yet:", shlex.join(["unnoise", "evaluate", str(folder.run.path)]))
        for folder in unmeasured
    ]


def _differing(folders: Sequence[Folder], names: Sequence[str]) -> Section:
    unlike = differences([folder.run.config for folder in folders])
    if not unlike:
        return Text("Nothing: the runs were told the same.")
    rows = tuple(
        (Cell(path), *(Cell(MISSING if value is None else value) for value in readable(values)))
        for path, values in unlike.items()
    )
    return Table(("path", *names), rows, words=frozenset(range(len(names) + 1)))
