"""Records of evaluation.json: scores, likelihood, memorisation and colours; missing values are allowed."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import cattrs

from unnoise.utils import json_text
from unnoise.utils.errors import UnnoiseError, require

Record = TypeVar("Record")


@dataclass(frozen=True)
class Estimate:
    """Measured value with its 95% confidence interval, where known."""

    value: float | None = None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Score(Estimate):
    """Score of the samples by one metric; `real` is the score of real pictures."""

    name: str = ""
    better: str = "lower"
    real: float | None = None


@dataclass(frozen=True)
class SampleScores:
    """Scores of the samples, with the conditions under which they were measured."""

    step: int | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    scores: tuple[Score, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class CopyRates:
    """Share of copies, and (index) how often a sample is nearer to the training set than a held-out picture."""

    copied: Estimate | None = None
    index: Estimate | None = None


@dataclass(frozen=True)
class Memorisation(CopyRates):
    """Copies of training pictures among the samples, by features and by pixels; `picture` shows the closest."""

    verdict: str = ""
    pixels: CopyRates | None = None
    picture: str | None = None


@dataclass(frozen=True)
class Channel:
    """Mean and standard deviation of one channel, of samples and data, and the distance of their histograms."""

    name: str = ""
    mean: float | None = None
    std: float | None = None
    data_mean: float | None = None
    data_std: float | None = None
    distance: float | None = None


@dataclass(frozen=True)
class Colours:
    """Colours and contrasts of the samples against those of the data."""

    verdict: str = ""
    channels: tuple[Channel, ...] = ()


@dataclass(frozen=True)
class BitsPerDim:
    """Mean over pictures in bits/dim, and its standard error."""

    mean: float
    standard_error: float | None = None


@dataclass(frozen=True)
class Evaluation:
    """Contents of evaluation.json that a report shows; None or empty where not measured."""

    bits_per_dim: dict[str, BitsPerDim] = field(default_factory=dict)
    quality: SampleScores | None = None
    memorisation: Memorisation | None = None
    colours: Colours | None = None


def read_evaluation(path: Path) -> Evaluation:
    """Reads evaluation.json; an empty record where there is no such file.

    Raises:
        UnnoiseError: when it is not JSON, or a value has the wrong type.
    """
    if not path.is_file():
        return Evaluation()
    known = json_text.read(path, "Remove it to go on without it.")
    # Entries without a mean are facts, such as the number of pictures.
    terms = {**_terms(known.get("bits_per_dim")), **_terms(known.get("ode_bits_per_dim"))}
    parts = {name: known[name] for name in ("quality", "memorisation", "colours") if known.get(name)}
    for name, part in parts.items():
        require(isinstance(part, dict), f"{path} is damaged ({name} is not an object): evaluate the run again.")
    return _structured({**parts, "bits_per_dim": terms}, Evaluation, path)


def _terms(part: object) -> dict[str, object]:
    if not isinstance(part, dict):
        return {}
    return {str(name): term for name, term in part.items() if isinstance(term, dict) and "mean" in term}


def _structured(values: object, kind: type[Record], path: Path) -> Record:
    try:
        return cattrs.Converter().structure(values, kind)
    except Exception as error:  # noqa: BLE001 (cattrs raises exception groups of any type)
        cause = str(cattrs.transform_error(error)[0]).rstrip(".")
        raise UnnoiseError(f"{path} is damaged ({cause}): evaluate the run again.") from None
