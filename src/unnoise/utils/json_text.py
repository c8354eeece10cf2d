"""Strict reading of JSON from untrusted files: every fault in it is a ValueError."""

import json
from pathlib import Path
from typing import Any

from unnoise.utils.errors import UnnoiseError, require_permitted

LARGEST_FILE = 64 * 2**20
"""Largest file in bytes: many times what the names of a million classes take."""


def parse(text: str) -> Any:  # noqa: ANN401
    """The value of a JSON text; raises ValueError for invalid, too deeply nested or repeated content."""
    try:
        return json.loads(text, object_pairs_hook=_without_repetition)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def read_text(path: Path) -> str:
    """The text of a JSON file; raises ValueError or OSError where it is not UTF-8 or larger than 64 MB."""
    size = path.stat().st_size
    if size > LARGEST_FILE:
        raise ValueError(f"it has {size / 2**20:,.0f} MB, more than the limit of {LARGEST_FILE // 2**20} MB")
    return path.read_text(encoding="utf-8")


def read(path: Path, remedy: str) -> dict[str, Any]:
    """The object in a JSON file.

    Args:
        path: of the file.
        remedy: what to do about a damaged file: a sentence at the end of the error.

    Raises:
        UnnoiseError: the file can't be read, or holds no JSON object.
    """
    try:
        found = parse(read_text(path))
    except (OSError, ValueError) as error:
        require_permitted(path, error)
        raise UnnoiseError(f"{path} is damaged ({error}). {remedy}") from None
    if not isinstance(found, dict):
        raise UnnoiseError(f"{path} is damaged (no JSON object). {remedy}")
    return found


def _without_repetition(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"the key {next(name for name in names if names.count(name) > 1)!r} comes twice")
    return found
