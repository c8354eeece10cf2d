"""What a run's folder tells of its quality is read with an open mind: what is missing is left out."""

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import cattrs

from unnoise.training.monitoring import COPIES
from unnoise.utils import json_text
from unnoise.utils.errors import UnnoiseError, require

Row = TypeVar("Row")
Record = TypeVar("Record")


class QualityRow(NamedTuple):
    """A line of quality.csv: the kernel distance to real pictures at some step, and its interval."""

    step: int
    images: int
    seconds: float
    kid: float
    low: float | None
    high: float | None
    copied: float | None
    nearer: float | None
    extractor: str


def best_of(rows: Sequence[QualityRow]) -> QualityRow:
    """The row of the lowest kernel distance; samples that are copies are never the best (see `monitoring`)."""
    no_copies = [row for row in rows if row.copied is None or row.copied <= COPIES]
    return min(no_copies or rows, key=lambda row: row.kid)


class LevelRow(NamedTuple):
    """A line of noise_levels.csv: the held-out loss at one noise level, after some steps."""

    step: int
    log_snr: float
    loss: float


def read_quality(path: Path) -> list[QualityRow]:
    """The rows of quality.csv in the order of their steps; none where there is no such file.

    Raises:
        UnnoiseError: when a line is damaged.
    """

    def row(line: dict[str, str]) -> QualityRow:
        low, high, copied, nearer = (
            float(line[name]) if line.get(name) else None for name in ("low", "high", "copied", "nearer")
        )
        numbers = int(line["step"]), int(line["images"]), float(line["seconds"]), float(line["kid"])
        return QualityRow(*numbers, low, high, copied, nearer, line.get("extractor") or "")

    return sorted(_table(path, row), key=lambda line: line.step)


def read_levels(path: Path) -> list[LevelRow]:
    """The rows of noise_levels.csv by step and noise level; none where there is no such file.

    Raises:
        UnnoiseError: when a line is damaged.
    """

    def row(line: dict[str, str]) -> LevelRow:
        return LevelRow(int(line["step"]), float(line["log_snr"]), float(line["loss"]))

    return sorted(_table(path, row), key=lambda line: (line.step, line.log_snr))


def _table(path: Path, read: Callable[[dict[str, str]], Row]) -> list[Row]:
    if not path.is_file():
        return []
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return [read(line) for line in csv.DictReader(file)]
    except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
        raise UnnoiseError(f"{path} is damaged ({error}): remove it to go on without it.") from None


@dataclass(frozen=True)
class Interval:
    """A value, and where it lies with 95% confidence, as far as that is known."""

    value: float | None = None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Score(Interval):
    """How near the samples are to real pictures by one measure; `real` is what real pictures reach."""

    name: str = ""
    better: str = "lower"
    real: float | None = None


@dataclass(frozen=True)
class Quality:
    """Scores, and everything that has to stand beside them."""

    step: int | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    scores: tuple[Score, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Copied:
    """The share of copies, and (index) how often a sample is nearer to training than an unseen picture."""

    copied: Interval | None = None
    index: Interval | None = None


@dataclass(frozen=True)
class Memorisation(Copied):
    """Whether the samples are copies, seen in features, and seen in pixels; the picture is of the closest."""

    verdict: str = ""
    pixels: Copied | None = None
    picture: str | None = None


@dataclass(frozen=True)
class Channel:
    """The mean, the spread, and the distance of the histograms of one channel: samples and data."""

    name: str = ""
    mean: float | None = None
    std: float | None = None
    data_mean: float | None = None
    data_std: float | None = None
    distance: float | None = None


@dataclass(frozen=True)
class Colours:
    """Whether the samples have the colours and contrasts of the data."""

    verdict: str = ""
    channels: tuple[Channel, ...] = ()


@dataclass(frozen=True)
class Bits:
    """A mean over pictures in bits/dim, and its standard error."""

    mean: float
    standard_error: float | None = None


@dataclass(frozen=True)
class Evaluation:
    """All of evaluation.json that a report shows; None or empty is what was not measured."""

    bits_per_dim: dict[str, Bits] = field(default_factory=dict)
    quality: Quality | None = None
    memorisation: Memorisation | None = None
    colours: Colours | None = None

    @property
    def complete(self) -> bool:
        """Whether nothing is missing."""
        return bool(self.bits_per_dim and self.quality and self.memorisation and self.colours)


def read_evaluation(path: Path) -> Evaluation:
    """What evaluation.json says; an empty record where there is no such file.

    Raises:
        UnnoiseError: when it is no JSON, or a value is of the wrong kind.
    """
    if not path.is_file():
        return Evaluation()
    known = json_text.read(path, "remove it to go on without it")
    # Beside the terms stand facts such as the number of pictures, which are no terms.
    terms = {**_terms(known.get("bits_per_dim")), **_terms(known.get("ode_bits_per_dim"))}
    parts = {name: known[name] for name in ("quality", "memorisation", "colours") if known.get(name)}
    for name, part in parts.items():
        require(isinstance(part, dict), f"{path} is damaged ({name} is no object): evaluate the run again.")
    return _structured({**parts, "bits_per_dim": terms}, Evaluation, path)


def _terms(part: object) -> dict[str, object]:
    if not isinstance(part, dict):
        return {}
    return {str(name): term for name, term in part.items() if isinstance(term, dict) and "mean" in term}


def _structured(values: object, kind: type[Record], path: Path) -> Record:
    try:
        return cattrs.Converter().structure(values, kind)
    except Exception as error:  # noqa: BLE001 (cattrs raises groups of whatever went wrong inside)
        cause = str(cattrs.transform_error(error)[0]).rstrip(".")
        raise UnnoiseError(f"{path} is damaged ({cause}): evaluate the run again.") from None
