"""Labels may lie in a file of their own: an IDX file beside the pictures, or a CSV of files and classes."""

import csv
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from unnoise.data.labels.classes import Labels, none_known, of_names, of_values
from unnoise.data.sources.arrays import read_idx_labels, read_npz_labels
from unnoise.utils.errors import UnnoiseError, require
from unnoise.utils.text import printable

_FILE_COLUMNS = ("file", "filename", "file_name", "path", "name", "image")
_CLASS_COLUMNS = ("class", "label")
LARGEST_CSV = 256 * 2**20
"""In bytes: more than a million long names take."""
_IDX_SUFFIXES = frozenset({".idx", ".gz"})


def is_csv(path: Path) -> bool:
    """Tells a CSV from an IDX file by its name; raises UnnoiseError for a file that is neither."""
    require(
        path.is_file(),
        f"Labels come from a .csv or an IDX file, but there is no file {str(path)!r}: check the spelling.",
    )
    if path.suffix.lower() == ".csv":
        return True
    require(
        path.suffix.lower() in _IDX_SUFFIXES or "ubyte" in path.name,
        f"Labels come from a .csv or an IDX file, but {str(path)!r} is of another kind: save a .csv with the "
        f"columns file and class.",
    )
    return False


def idx_labels(path: Path, names: tuple[str, ...] = ()) -> Labels:
    """The labels of an IDX file, (N,), whose classes are called by their numbers unless `names` are known."""
    return of_values(read_idx_labels(path), repr(str(path)), names)


def labels_beside(path: Path, source: str) -> Labels:
    """The labels that belong to an array file: in a .npz itself, or in the IDX file beside one of pictures.

        train-images-idx3-ubyte.gz   has its labels in   train-labels-idx1-ubyte.gz

    Raises UnnoiseError where there are none.
    """
    if path.suffix.lower() == ".npz":
        values = read_npz_labels(path)
        if values is None:
            raise none_known(source, "save it with np.savez(path, images=..., labels=...)")
        return of_values(values, repr(source))
    if path.suffix.lower() == ".npy":
        raise none_known(source, "save both arrays with np.savez(path, images=..., labels=...)")
    beside = _idx_beside(path)
    if beside is None:
        raise none_known(source, "name the IDX file of its labels, or lay it beside the pictures")
    return idx_labels(beside)


def _idx_beside(path: Path) -> Path | None:
    name = path.name.replace("images", "labels").replace("idx3", "idx1").replace("idx4", "idx1")
    plain = name.removesuffix(".gz")
    found = (path.with_name(one) for one in (name, plain, f"{plain}.gz") if "labels" in one)
    return next((one for one in found if one != path and one.is_file()), None)


def csv_labels(path: Path, names: Sequence[str], known: Collection[str], source: str) -> Labels:
    """The class of each picture by its name below the source, from a UTF-8 CSV of files and classes.

    Args:
        path: a header is optional; with one the columns may come in any order.
        names: of the pictures that were read; every one must be listed.
        known: of all files that may be listed.
        source: as the caller named it.

    Raises:
        UnnoiseError: for whatever is missing, unknown or contradictory.
    """
    classes: dict[str, str] = {}
    for number, (name, kind) in enumerate(_pairs(path, known), 1):
        if not kind:
            raise _bad(path, f"entry {number} ({name!r}) has none", "fill it in")
        if classes.setdefault(name, kind) != kind:
            raise _bad(path, f"{name!r} is both {classes[name]!r} and {kind!r}", "keep one")
    unknown = [name for name in classes if name not in known]
    if unknown:
        reason = f"it lists {len(unknown):,} that {source!r} does not hold, the first is {unknown[0]!r}"
        raise _bad(path, reason, "name files as they lie below the source, under a header file,class or none")
    missing = [name for name in names if name not in classes]
    if missing:
        reason = f"it leaves out {len(missing):,} of {source!r}, the first is {missing[0]!r}"
        raise _bad(path, reason, "add a line for each")
    return of_names([classes[name] for name in names])


def _pairs(path: Path, known: Collection[str]) -> Iterator[tuple[str, str]]:
    """Each file's name and its class."""
    rows = _rows(path)
    first, file, kind = _columns(rows[0], known, path)
    for number, row in enumerate(rows[first:], 1):
        if len(row) <= max(file, kind):
            raise _bad(
                path, f"entry {number} ({', '.join(row)!r}) is too short", "give each a file and a class"
            )
        yield printable(row[file].replace("\\", "/").removeprefix("./")), printable(row[kind])
    if len(rows) == first:
        raise _bad(path, "it holds nothing but a header", "add a line for each picture")


def _columns(row: list[str], known: Collection[str], path: Path) -> tuple[int, int, int]:
    """The first row that is no header, and the columns of files and classes."""
    lower = [cell.lower() for cell in row]
    files = [lower.index(name) for name in _FILE_COLUMNS if name in lower]
    classes = [lower.index(name) for name in _CLASS_COLUMNS if name in lower]
    if row[0] in known or not (files or classes):
        return 0, 0, 1
    if not files or not classes:
        lacking = _CLASS_COLUMNS if files else _FILE_COLUMNS
        raise _bad(path, f"none of its columns {', '.join(row)} is one", f"call it {' or '.join(lacking)}")
    return 1, files[0], classes[0]


def _rows(path: Path) -> list[list[str]]:
    """All lines that are not empty, cut at commas, semicolons or tabs, whichever the first line has."""
    if path.stat().st_size > LARGEST_CSV:
        raise _bad(path, f"it has more than {LARGEST_CSV // 2**20} MB", "leave out all but files and classes")
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            first = file.readline()
            file.seek(0)
            mark = next((mark for mark in ",;\t" if mark in first), ",")
            rows = [[cell.strip() for cell in row] for row in csv.reader(file, delimiter=mark)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise _bad(path, f"it cannot be read: {error}", "save it as CSV in UTF-8") from error
    rows = [row for row in rows if any(row)]
    if not rows:
        raise _bad(path, "it is empty", "write a line such as cats/001.png,cat for each picture")
    return rows


def _bad(path: Path, reason: str, remedy: str) -> UnnoiseError:
    return UnnoiseError(
        f"A .csv of labels must give each file one class, but {str(path)!r} does not ({reason}): {remedy}."
    )
