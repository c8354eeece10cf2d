"""JSON that others wrote is read with care: whatever is wrong with it is a ValueError."""

import json
from pathlib import Path
from typing import Any

from unnoise.utils.errors import UnnoiseError

LARGEST_FILE = 64 * 2**20
"""In bytes: many times what the names of a million classes take."""


def parse(text: str) -> Any:  # noqa: ANN401
    """The value of a JSON text; raises ValueError, with the reason, for anything else."""
    try:
        return json.loads(text, object_pairs_hook=_without_repetition)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def read_text(path: Path) -> str:
    """The UTF-8 text of a file of JSON; raises ValueError or OSError where it is none, or larger than 64 MB."""
    size = path.stat().st_size
    if size > LARGEST_FILE:
        raise ValueError(f"it has {size / 2**20:,.0f} MB, and at most {LARGEST_FILE // 2**20} are read")
    return path.read_text(encoding="utf-8")


def read(path: Path, remedy: str) -> dict[str, Any]:
    """The object in a .json file.

    Raises:
        UnnoiseError: when it is damaged; it ends with the remedy.
    """
    try:
        found = parse(read_text(path))
    except (OSError, ValueError) as error:
        raise UnnoiseError(f"{path} is damaged ({error}): {remedy}.") from None
    if not isinstance(found, dict):
        raise UnnoiseError(f"{path} is damaged (no object): {remedy}.")
    return found


def _without_repetition(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"the key {next(name for name in names if names.count(name) > 1)!r} comes twice")
    return found
