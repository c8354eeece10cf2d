"""Tables of named tuples in CSV files with a header, written whole or not at all."""

import csv
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar, get_args, get_type_hints

from unnoise.utils.errors import UnnoiseError, require_permitted
from unnoise.utils.files import atomic_write

Row = TypeVar("Row")
_LARGEST_INTEGER = 2**63


def read_table(path: Path, row: type[Row]) -> list[Row]:
    """The rows of a CSV file as tuples of type `row`; none where there is no file. Empty cells are None.

    Raises:
        UnnoiseError: a line that `write_table` did not write.
    """
    if not path.is_file():
        return []
    kinds = get_type_hints(row)
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return [
                row(**{name: _value(line[name], kind) for name, kind in kinds.items()})
                for line in csv.DictReader(file)
            ]
    except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
        require_permitted(path, error)
        raise UnnoiseError(f"{path} is damaged ({error}). Remove it to go on without it.") from None


def _value(cell: str | None, kind: Any) -> Any:  # noqa: ANN401
    if cell is None:
        raise ValueError("a line is too short")
    optional = get_args(kind)
    if not cell and not optional:
        raise ValueError("a cell is empty")
    value = (optional or (kind,))[0](cell) if cell else None
    if isinstance(value, int) and abs(value) > _LARGEST_INTEGER:
        raise ValueError("a number is too large")
    return value


def write_table(path: Path, row: type[Row], rows: Iterable[Row]) -> None:
    """Writes named tuples of type `row` as a CSV file, under a header of their field names."""
    with atomic_write(path) as file, file.open("w", newline="", encoding="utf-8") as opened:
        table = csv.writer(opened)
        names = list(get_type_hints(row))
        table.writerow(names)
        cells = ([getattr(one, name) for name in names] for one in rows)
        table.writerows(["" if cell is None else cell for cell in line] for line in cells)
