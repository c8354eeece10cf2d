"""The losses of a run, step by step, stand in its history.csv."""

from pathlib import Path
from typing import NamedTuple

from unnoise.utils.tables import read_table


class Row(NamedTuple):
    """A line of history.csv; what was not measured at that step is None."""

    step: int
    images: int
    seconds: float
    learning_rate: float | None
    training_loss: float | None
    noise_loss: float | None
    image_loss: float | None
    held_out_loss: float | None


def read_history(path: Path) -> list[Row]:
    """The rows of history.csv, none where there is no such file.

    Raises:
        UnnoiseError: when a line is not what `Recorder` writes.
    """
    return read_table(path, Row)
