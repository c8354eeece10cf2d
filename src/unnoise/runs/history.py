"""Tables of a run's folder: history.csv, quality.csv, noise_levels.csv, previews.csv and events.csv."""

from pathlib import Path
from typing import NamedTuple

from unnoise.utils.tables import read_table

HISTORY, QUALITY, LEVELS = "history.csv", "quality.csv", "noise_levels.csv"
PREVIEWS, EVENTS = "previews.csv", "events.csv"


class HistoryRow(NamedTuple):
    """Row of history.csv: losses at a step; None for what was not measured there."""

    step: int
    images: int
    seconds: float
    learning_rate: float | None
    training_loss: float | None
    noise_loss: float | None
    image_loss: float | None
    held_out_loss: float | None


class QualityRow(NamedTuple):
    """Row of quality.csv: kernel distance of samples with its 95 % interval, and how much is memorised."""

    step: int
    images: int
    seconds: float
    kid: float
    low: float
    high: float
    copied: float
    """Share of the samples that are copies of training pictures, by their pixels; 0 if fewer than 3 differ."""
    nearer: float
    """Probability that a sample is nearer to a training picture than an unseen picture is: 0.5 is healthy, 1
    means memorisation."""
    extractor: str


class LevelRow(NamedTuple):
    """Row of noise_levels.csv: held-out loss at one noise level."""

    step: int
    log_snr: float
    loss: float


class PreviewRow(NamedTuple):
    """Row of previews.csv: a look at samples of the averaged network."""

    step: int
    images: int
    seconds: float
    """Training time at its start."""
    pictures: int
    num_steps: int
    """Steps of the sampler."""
    drawing: float
    """Seconds for drawing the samples."""
    testing: float
    """Seconds for the loss of held-out pictures and the charts; 0 where both were left out."""
    took: float
    """Seconds in all, with writing the sheet."""
    verdict: str
    """`healthy`, `faulty`, or `unclear`, as samples of young networks are."""


class EventRow(NamedTuple):
    """Row of events.csv: a fault that a guard found, and what was done about it."""

    step: int
    """At which the fault was found."""
    seconds: float
    """Training time until then, including what was lost by going back."""
    kind: str
    cause: str
    action: str
    back_to: int | None
    """Step from which training went on; None where it was only reported."""
    learning_rate_factor: float
    """Factor on the recipe's learning rate from there on."""
    precision: str
    """Precision from there on."""


def read_history(path: Path) -> list[HistoryRow]:
    """The rows of a history.csv; none where there is no such file.

    Raises:
        UnnoiseError: when a line is damaged.
    """
    return read_table(path, HistoryRow)


def read_measurements(run: Path) -> tuple[list[QualityRow], list[LevelRow]]:
    """The rows of quality.csv and noise_levels.csv in a run's folder; none where nothing was measured.

    Raises:
        UnnoiseError: when a line is damaged.
    """
    return read_table(run / QUALITY, QualityRow), read_table(run / LEVELS, LevelRow)


def read_events(run: Path) -> list[EventRow]:
    """The rows of events.csv in a run's folder, the oldest first.

    Raises:
        UnnoiseError: when a line is damaged.
    """
    return read_table(run / EVENTS, EventRow)
