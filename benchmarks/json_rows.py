"""Rows of finished measurements in a file: one line of JSON each, so that a benchmark can continue."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from unnoise.utils.files import atomic_write

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Row = TypeVar("Row", bound="DataclassInstance")


def read_rows(path: Path, row: type[Row]) -> list[Row]:
    """The rows of this file, lists as tuples; none if there is no such file."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    return [
        row(**{name: tuple(value) if isinstance(value, list) else value for name, value in values.items()})
        for values in map(json.loads, lines)
    ]


def write_rows(path: Path, rows: "Sequence[DataclassInstance]") -> None:
    """Writes the rows; the file is replaced as a whole."""
    with atomic_write(path) as file:
        file.write_text("".join(json.dumps(asdict(row)) + "\n" for row in rows), encoding="utf-8")
