"""Class labels: from folder names, label arrays, IDX files and CSV files."""

import csv
import itertools
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TextIO

import numpy as np
from numpy.typing import NDArray

from unnoise.data.decoding.array_files import read_idx_labels, read_npz_labels
from unnoise.utils.errors import UnnoiseError, require, require_permitted
from unnoise.utils.text import printable

_FILE_COLUMNS = ("file", "filename", "file_name", "path", "name", "image")
_CLASS_COLUMNS = ("class", "label")
_SEPARATORS = (",", ";", "\t")
_LINES_COMPARED = 50
LARGEST_CSV = 256 * 2**20
"""In bytes; enough for more than a million long names."""
_IDX_SUFFIXES = frozenset({".idx", ".gz"})


class Labels(NamedTuple):
    """The class of each picture, as an index into the names of the classes."""

    labels: NDArray[np.int64]
    """(N,): the index of each picture's class in `names`; their number for a picture without a class."""
    names: tuple[str, ...]
    """Names of the classes, in order."""

    def without_class(self) -> list[int]:
        """Indices of the pictures without a class."""
        places: list[int] = np.flatnonzero(self.labels == len(self.names)).tolist()
        return places


def labels_from_names(classes: Sequence[str | None]) -> Labels:
    """Numbers the class names of pictures, one for each, in natural order: class9 comes before class10.

    None and an empty name are no class.
    """
    names = tuple(sorted({one for one in classes if one}, key=_natural))
    places: dict[str | None, int] = {name: place for place, name in enumerate(names)}
    return Labels(np.fromiter((places.get(one, len(names)) for one in classes), np.int64, len(classes)), names)


def labels_from_values(values: NDArray[Any], where: str, names: tuple[str, ...] = ()) -> Labels:
    """Labels from an array of whole numbers from 0, (N,) or (N, 1), or of text; -1 and "" are no class.

    Only the numbers that occur become classes, unless the `names` of all are given. Raises UnnoiseError for
    anything else, and calls the array `where`.
    """
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim != 1 or values.dtype.kind not in "iuU":
        raise UnnoiseError(
            f"Labels are one list of whole numbers from 0 or of text, but {where} holds {values.dtype} of "
            f"shape {values.shape}. Save one label for each picture."
        )
    if values.dtype.kind == "U":
        return labels_from_names(values.tolist())
    wrong = (values < -1) | (values >= len(names)) if names else values < -1
    if wrong.any():
        most = f"to {len(names) - 1}" if names else "upwards"
        raise UnnoiseError(
            f"Labels are whole numbers from 0 {most}, but {where} holds {values[wrong][0]} at index "
            f"{int(wrong.argmax())}. Number the classes from 0; -1 is a picture without a class."
        )
    given = values >= 0
    places = values[given]
    if not names:
        known, places = np.unique(places, return_inverse=True)
        names = tuple(str(one) for one in known.tolist())
    labels = np.full(len(values), len(names), np.int64)
    labels[given] = places
    return Labels(labels, names)


def labels_from_idx(path: Path, names: tuple[str, ...] = ()) -> Labels:
    """Labels from an IDX file, (N,); the classes are named by their numbers unless `names` are given."""
    return labels_from_values(read_idx_labels(path), repr(str(path)), names)


def labels_beside(path: Path, source: str) -> Labels:
    """Labels that belong to an array file: in a .npz itself, or in the IDX file beside one of pictures.

        train-images-idx3-ubyte.gz   has its labels in   train-labels-idx1-ubyte.gz

    Raises UnnoiseError if there are none.
    """
    if path.suffix.lower() == ".npz":
        values = read_npz_labels(path)
        if values is None:
            raise _no_labels(source, "Save it with np.savez(path, images=..., labels=...)")
        return labels_from_values(values, repr(source))
    if path.suffix.lower() == ".npy":
        raise _no_labels(source, "Save both arrays with np.savez(path, images=..., labels=...)")
    beside = _idx_beside(path)
    if beside is None:
        raise _no_labels(source, "Name the IDX file of its labels, or put it beside the pictures")
    return labels_from_idx(beside)


def _idx_beside(path: Path) -> Path | None:
    name = path.name.replace("images", "labels").replace("idx3", "idx1").replace("idx4", "idx1")
    plain = name.removesuffix(".gz")
    found = (path.with_name(one) for one in (name, plain, f"{plain}.gz") if "labels" in one)
    return next((one for one in found if one != path and one.is_file()), None)


def _no_labels(source: str, remedy: str) -> UnnoiseError:
    return UnnoiseError(f"Labels were asked for, but {source!r} has none. {remedy}.")


def labels_from_file(path: Path, names: Sequence[str], known: Sequence[str], source: str) -> Labels:
    """Labels from a .csv for picture files, or from an IDX file for the pictures of an array.

    Args:
        path: ends in .csv, .idx or .gz, or has "ubyte" in its name.
        names: the pictures that were read, in order.
        known: all files of the source; empty for an array.
        source: as the caller named it.
    """
    path = path.expanduser()
    is_csv = _is_csv(path)
    rule = (
        "Picture files take their labels from a .csv" if known else "An array takes its labels from an IDX file"
    )
    require(
        is_csv == bool(known),
        f"{rule}, but {str(path)!r} was given for {source!r}. Name a file of the other kind.",
    )
    return labels_from_csv(path, names, frozenset(known), source) if is_csv else labels_from_idx(path)


def _is_csv(path: Path) -> bool:
    """Tells a CSV from an IDX file by its name; raises UnnoiseError for a file that is neither."""
    require(path.is_file(), f"There is no file of labels at {str(path)!r}. Check the spelling.")
    if path.suffix.lower() == ".csv":
        return True
    require(
        path.suffix.lower() in _IDX_SUFFIXES or "ubyte" in path.name,
        f"Labels come from a .csv or an IDX file, but {str(path)!r} is of another kind. Save a .csv with the "
        f"columns file and class.",
    )
    return False


def labels_from_csv(path: Path, names: Sequence[str], known: Collection[str], source: str) -> Labels:
    """Labels from a UTF-8 CSV of files and classes, by the names of the pictures below the source.

    Args:
        path: a header is optional; with one the columns may come in any order.
        names: the pictures that were read; those that are not listed, or with an empty cell, have no class.
        known: all files that may be listed.
        source: as the caller named it.

    Raises:
        UnnoiseError: for an unknown name, or two classes for one file.
    """
    classes: dict[str, str] = {}
    spelled = _spellings(known)
    for listed, kind in _pairs(path, known):
        name = listed if listed in known else spelled.get(unicodedata.normalize("NFC", listed), listed)
        if classes.setdefault(name, kind) != kind:
            raise _bad_csv(path, f"{name!r} is both {classes[name]!r} and {kind!r}", "Keep one")
    unknown = [name for name in classes if name not in known]
    if unknown:
        reason = f"{len(unknown):,} of its files are not in {source!r}, such as {unknown[0]!r}"
        raise _bad_csv(path, reason, "Name files as they lie below the source; a header, if any, is file,class")
    return labels_from_names([classes.get(name) for name in names])


def _spellings(known: Collection[str]) -> dict[str, str]:
    """Each name by its composed form (NFC), if no other shares it: macOS may write é as e and an accent."""
    forms = [(unicodedata.normalize("NFC", name), name) for name in known]
    counts = Counter(form for form, _ in forms)
    return {form: name for form, name in forms if counts[form] == 1}


def _pairs(path: Path, known: Collection[str]) -> Iterator[tuple[str, str]]:
    """Each file's name and its class."""
    rows = _rows(path, known)
    first, file, kind = _columns(rows[0], known, path)
    for number, row in enumerate(rows[first:], 1):
        if len(row) <= max(file, kind):
            raise _bad_csv(
                path, f"entry {number} ({', '.join(row)!r}) is too short", "Give each a file and a class"
            )
        yield printable(row[file].replace("\\", "/").removeprefix("./")), printable(row[kind])
    if len(rows) == first:
        raise _bad_csv(path, "it holds nothing but a header", "Add a line for each picture")


def _columns(row: list[str], known: Collection[str], path: Path) -> tuple[int, int, int]:
    """The first row that is no header, and the columns of files and classes."""
    lower = [cell.lower() for cell in row]
    files = [lower.index(name) for name in _FILE_COLUMNS if name in lower]
    classes = [lower.index(name) for name in _CLASS_COLUMNS if name in lower]
    if row[0] in known or not (files or classes):
        return 0, 0, 1
    if not files or not classes:
        kind, names = ("classes", _CLASS_COLUMNS) if files else ("files", _FILE_COLUMNS)
        raise _bad_csv(
            path, f"it has no column of {kind}, only {', '.join(row)}", f"Call it {' or '.join(names)}"
        )
    return 1, files[0], classes[0]


def _rows(path: Path, known: Collection[str]) -> list[list[str]]:
    """All lines that are not empty, cut into cells."""
    if path.stat().st_size > LARGEST_CSV:
        raise _bad_csv(
            path, f"it has more than {LARGEST_CSV // 2**20} MB", "Leave out all but files and classes"
        )
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            start, mark = _separator(file, known)
            file.seek(0)
            for _ in range(start):
                file.readline()
            rows = [[cell.strip() for cell in row] for row in csv.reader(file, delimiter=mark)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        require_permitted(path, error)
        raise _bad_csv(path, f"it cannot be read ({error})", "Save it as CSV in UTF-8") from error
    rows = [row for row in rows if any(row)]
    if not rows:
        raise _bad_csv(path, "it is empty", "Write a line such as cats/001.png,cat for each picture")
    return rows


def _separator(file: TextIO, known: Collection[str]) -> tuple[int, str]:
    """How many lines to leave out at the top, and the mark between cells.

    A first line sep=; names the mark, as Excel writes it. Else it is the mark that makes a header of the first
    line, names of pictures of the cells, or equally many cells of the first lines: names may hold the others.
    """
    lines = list(itertools.islice((line for line in file if line.strip()), _LINES_COMPARED))
    first = lines[0] if lines else ""
    named = re.fullmatch(r'"?sep=(.)"?\s*', first, re.IGNORECASE)
    if named:
        return 1, named[1]

    def fitness(mark: str) -> tuple[bool, int, bool, bool]:
        rows = [row for row in csv.reader(lines, delimiter=mark) if len(row) > 1]
        found = sum(any(cell.strip() in known for cell in row) for row in rows)
        even = len(rows) == len(lines) > 0 and len({len(row) for row in rows}) == 1
        return any(map(_is_header, rows[:1])), found, even, mark in first

    return 0, max(_SEPARATORS, key=fitness)


def _is_header(row: list[str]) -> bool:
    cells = {cell.strip().lower() for cell in row}
    return bool(cells & set(_FILE_COLUMNS) and cells & set(_CLASS_COLUMNS))


def _bad_csv(path: Path, reason: str, remedy: str) -> UnnoiseError:
    return UnnoiseError(f"Cannot use the labels in {str(path)!r}: {reason}. {remedy}.")


def count_classes(read: Callable[[], Labels]) -> dict[str, int]:
    """How many pictures each class has, in order; empty without two classes, or a class for every picture."""
    try:
        found = read()
    except UnnoiseError:
        return {}  # loading with labels tells why there are none; a summary can do without them
    numbers = np.bincount(found.labels, minlength=len(found.names)).tolist()
    whole = len(found.names) > 1 and not found.without_class()
    return dict(zip(found.names, numbers, strict=True)) if whole else {}


def _natural(name: str) -> tuple[list[str | tuple[int, str]], str]:
    """Sort key that compares the numbers in a name by value, and letters whatever their case."""
    parts = re.split(r"(\d+)", name)
    numbers = [(len(part.lstrip("0")), part.lstrip("0")) for part in parts[1::2]]
    texts = [part.casefold() for part in parts[0::2]]
    key: list[str | tuple[int, str]] = [texts[0]]
    for number, text in zip(numbers, texts[1:], strict=True):
        key += [number, text]
    return key, name
