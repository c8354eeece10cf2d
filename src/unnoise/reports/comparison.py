"""Comparison page of several runs: samples of the same seeds, scores, curves, and differing settings."""

import shlex
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple, TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor

from unnoise import pictures
from unnoise.reports.comparability import why_not_compare_losses, why_not_compare_scores
from unnoise.reports.curves import compared_losses, compared_quality
from unnoise.reports.number_text import MISSING, between, count, duration, number, percent
from unnoise.reports.page import Cell, Gallery, Heading, Page, Picture, Section, Table, Text
from unnoise.reports.records import Estimate
from unnoise.reports.report import described
from unnoise.reports.run_folder import RunFolder
from unnoise.reports.settings import differences, shortened
from unnoise.runs.autoguidance import load_as_it_draws, own_sampling
from unnoise.utils.errors import require

Samples: TypeAlias = Float[Tensor, "_ _ _ _"]
"""Samples of one run in [0, 1], (N, C, H, W); those of another run may have another shape."""

_BOLD = "Bold: the best, where its 95% interval overlaps no other."

_TILE = 128
"""Size in pixels to which small pictures are enlarged, by a whole factor."""


class ComparisonRow(NamedTuple):
    """Row of the comparison table: the name of a measure, and a cell for each run."""

    name: str
    cells: list[Cell]


def names_of(folders: Sequence[RunFolder]) -> list[str]:
    """Names of the runs: their folders' names, with as much of the paths as tells them apart."""
    parts = [folder.run.path.resolve().parts for folder in folders]
    for length in range(1, max(map(len, parts)) + 1):
        names = ["/".join(each[-length:]) for each in parts]
        if len(set(names)) == len(names):
            return names
    return [f"{folder.name} ({place})" for place, folder in enumerate(folders, start=1)]


def sample_seeds(folder: RunFolder, count: int, num_steps: int | None, device: torch.device | str) -> Samples:
    """Samples of the seeds 0, 1, ... from a run's averaged weights, moved to the CPU.

    Args:
        folder: the run; its own sampler is used, and its classes in turn where it has some.
        count: number of seeds.
        num_steps: sampling steps; None for the run's own number.
        device: where the network runs.

    Raises:
        UnnoiseError: for fewer than 1 seed, or a run without weights.
    """
    require(count >= 1, f"A comparison needs at least 1 seed, but got {count}.")
    config = folder.run.config
    sampling = own_sampling(folder.run)
    sampling = sampling if num_steps is None else replace(sampling, num_steps=num_steps)
    classes = config.classes(range(count))
    denoiser = load_as_it_draws(folder.run, device, sampling=sampling)
    return denoiser.generate(count, sampling=sampling, classes=classes).cpu()


def compare(folders: Sequence[RunFolder], samples: Sequence[Samples]) -> Page:
    """The comparison page of several runs.

    Args:
        folders: the runs.
        samples: those of each run, of the same seeds.
    """
    names = names_of(folders)
    scores, losses = why_not_compare_scores(folders), why_not_compare_losses(folders)
    rows = tuple((Cell(row.name), *row.cells) for row in comparison_rows(folders))
    sections: list[Section] = [
        Heading("Samples of the same seeds"),
        _gallery(names, samples),
        Heading("Numbers"),
        Table(("", *names), rows, caption=_BOLD),
        *(Text(sentence) for sentence in (scores, losses) if sentence),
        *_missing(folders),
    ]
    charts = [chart for chart in (compared_losses(folders, names), compared_quality(folders, names)) if chart]
    if charts:
        sections += [Heading("During training"), *charts]
    sections += [Heading("Differences in config.json"), _differing(folders, names)]
    lead = "; ".join(dict.fromkeys(described(folder) for folder in folders))
    return Page(" · ".join(names), f"{count(len(folders), 'run')}: {lead}.", tuple(sections))


def comparison_rows(folders: Sequence[RunFolder]) -> list[ComparisonRow]:
    """Rows of the comparison table; the best cell is marked in rows whose numbers can be compared."""
    lasts = [folder.last for folder in folders]
    rows = [
        ComparisonRow("images seen", [Cell(f"{last.images:,}" if last else MISSING) for last in lasts]),
        ComparisonRow("time", [Cell(duration(last.seconds) if last else MISSING) for last in lasts]),
        ComparisonRow("parameters", [Cell(f"{folder.parameters:,}") for folder in folders]),
    ]
    losses = [Estimate(folder.held_out[-1][1]) if folder.held_out else None for folder in folders]
    fair = not why_not_compare_losses(folders)
    rows.append(_measure("held-out loss", losses, "lower" if fair else None))
    bits = [folder.evaluation.bits_per_dim.get("total") for folder in folders]
    errors = [_normal_interval(each.mean, each.standard_error) if each else None for each in bits]
    same = len({folder.run.config.data.fingerprint for folder in folders}) == 1
    rows.append(_measure("bits/dim", errors, "lower" if same else None))
    rows += _scores(folders)
    found = [folder.evaluation.memorisation for folder in folders]
    copied = [each.copied if each else None for each in found]
    rows.append(_measure("copied", copied, None, percents=True))
    return [row for row in rows if any(cell.text != MISSING for cell in row.cells)]


def _normal_interval(mean: float, error: float | None) -> Estimate:
    # 95% of a normal distribution lie within 1.96 standard deviations.
    return Estimate(mean) if error is None else Estimate(mean, mean - 1.96 * error, mean + 1.96 * error)


def _scores(folders: Sequence[RunFolder]) -> list[ComparisonRow]:
    fair = not why_not_compare_scores(folders)
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
    name: str, values: Sequence[Estimate | None], better: str | None, *, percents: bool = False
) -> ComparisonRow:
    """A row of numbers with their intervals; `better` is "lower" or "higher", or None to mark no cell."""
    best = _best(values, better) if better else None
    write = percent if percents else number
    cells = [
        Cell(MISSING)
        if value is None
        else Cell(write(value.value), between(value.low, value.high, percents=percents), place == best)
        for place, value in enumerate(values)
    ]
    return ComparisonRow(name, cells)


def _best(values: Sequence[Estimate | None], better: str) -> int | None:
    """The number of the best value, where its interval overlaps no other; else None."""
    sign = -1.0 if better == "higher" else 1.0
    ends: list[tuple[float, float, int]] = []
    for place, value in enumerate(values):
        if value is not None and value.value is not None:
            known = [sign * (value.value if end is None else end) for end in (value.low, value.high)]
            ends.append((min(known), max(known), place))
    ends.sort(key=lambda end: end[1])
    clear = len(ends) > 1 and all(ends[0][1] < end[0] for end in ends[1:])
    return ends[0][2] if clear else None


def _gallery(names: Sequence[str], samples: Sequence[Samples]) -> Gallery:
    seeds = len(samples[0])
    rows = []
    for name, images in zip(names, samples, strict=True):
        shown = images if images.shape[1] <= 4 else images[:, :3]
        scale = max(1, _TILE // max(shown.shape[2:]))
        tiles = tuple(
            Picture(pictures.grid(image[None], columns=1, scale=scale, gap=0), alt=f"{name}, seed {seed}")
            for seed, image in enumerate(shown)
        )
        rows.append((name, tiles))
    caption = "Each column starts from the same noise, for runs whose pictures have the same size."
    return Gallery(tuple(f"seed {seed}" for seed in range(seeds)), tuple(rows), caption)


def _missing(folders: Sequence[RunFolder]) -> list[Section]:
    unmeasured = [folder for folder in folders if folder.evaluation.quality is None]
    return [
        Text(
            f"{folder.name} has no scores yet:",
            shlex.join(["unnoise", "evaluate", str(folder.run.path), *more]),
        )
        for folder in unmeasured
        for more in ([] if folder.run.config.data.source else ["PICTURES"],)  # of an imported run
    ]


def _differing(folders: Sequence[RunFolder], names: Sequence[str]) -> Section:
    unlike = differences([folder.run.config for folder in folders])
    if not unlike:
        return Text("None: the runs have the same settings.")
    rows = tuple(
        (Cell(path), *(Cell(MISSING if value is None else value) for value in shortened(values)))
        for path, values in unlike.items()
    )
    return Table(("path", *names), rows, words=frozenset(range(len(names) + 1)))
