"""Tables of a run's evaluation: scores, likelihood, memorisation and colours."""

from collections.abc import Mapping

from unnoise.reports.number_text import MISSING, between, number, percent
from unnoise.reports.page import Cell, Facts, Picture, Section, Table, Text
from unnoise.reports.records import BitsPerDim, Colours, Estimate, Memorisation, SampleScores
from unnoise.reports.run_folder import RunFolder

_HASHES = ("digest", "fingerprint")
"""Facts that are not shown: only programs compare them."""


def scores(quality: SampleScores | None) -> list[Section]:
    """Table of the scores, with the conditions and warnings that hold for all of them."""
    if quality is None:
        return []
    rows = tuple(
        (
            Cell(score.name, beneath=f"{score.better} is better"),
            Cell(number(score.value), beneath=between(score.low, score.high)),
            Cell(number(score.real)),
        )
        for score in quality.scores
    )
    facts = [(str(name), fact_text(value)) for name, value in quality.facts.items() if name not in _HASHES]
    if quality.step is not None and "step" not in quality.facts:
        facts.insert(0, ("step", f"{quality.step:,}"))
    parts: list[Section] = []
    if rows:
        parts.append(Table(("score", "samples, 95% interval", "real pictures"), rows))
    if facts:
        parts.append(Facts(tuple(facts)))
    return parts + [Text(warning) for warning in quality.warnings]


def fact_text(value: object) -> str:
    """A value of evaluation.json as text."""
    if value is None:
        return MISSING
    if isinstance(value, bool):
        return "yes" if value else "no"
    return number(value) if isinstance(value, int | float) else str(value)


def likelihood(bits: Mapping[str, BitsPerDim]) -> list[Section]:
    """Table of the negative log-likelihood in bits/dim, with standard errors."""
    if not bits:
        return []
    rows = tuple(
        (Cell(name), Cell(number(each.mean), best=name == "total"), Cell(number(each.standard_error)))
        for name, each in bits.items()
    )
    caption = "Bits per value (one channel of one pixel) of held-out pictures; lower is better."
    return [Table(("", "bits/dim", "± standard error"), rows, caption=caption)]


def memorisation(found: Memorisation | None, folder: RunFolder) -> list[Section]:
    """The verdict on copies of training pictures, its numbers, and the closest pairs."""
    if found is None:
        return []
    parts: list[Section] = [Text(found.verdict)] if found.verdict else []
    measured = (("in features", found), ("in pixels", found.pixels))
    rows = tuple(
        (
            Cell(where),
            Cell(percent(copied.value), between(copied.low, copied.high, percents=True)),
            Cell(number(index.value), between(index.low, index.high)),
        )
        for where, pair in measured
        if pair and (pair.copied or pair.index)
        for copied, index in [(pair.copied or Estimate(), pair.index or Estimate())]
    )
    if rows:
        caption = (
            "Nearer: how often a sample is nearer to a training picture than a held-out picture is. "
            "0.5 is normal; close to 1, the model has memorised its training pictures."
        )
        parts.append(Table(("", "copies", "nearer"), rows, caption=caption))
    nearest = folder.picture(found.picture) if found.picture else None
    if nearest is not None:
        caption = "The closest pairs: a sample, and the training picture nearest to it."
        parts.append(Picture(nearest, alt="Samples beside their nearest training pictures.", caption=caption))
    return parts


def colours(found: Colours | None) -> list[Section]:
    """The verdict on colours, and each channel's mean and standard deviation beside the data's."""
    if found is None:
        return []
    rows = []
    for channel in found.channels:
        values = (channel.mean, channel.data_mean, channel.std, channel.data_std, channel.distance)
        rows.append((Cell(channel.name), *(Cell(number(value)) for value in values)))
    titles = ("channel", "mean", "mean of data", "std", "std of data", "histogram distance")
    parts: list[Section] = [Text(found.verdict)] if found.verdict else []
    return [*parts, Table(titles, tuple(rows))] if rows else parts
