"""A class is a name, and the label of a picture is the place of its class among the sorted names."""

import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from unnoise.utils.errors import UnnoiseError


class Labels(NamedTuple):
    """Which class each picture is of."""

    labels: NDArray[np.int64]
    """(N,): the place of each picture's class in `names`."""
    names: tuple[str, ...]
    """Of the classes, in order."""


def of_names(classes: Sequence[str]) -> Labels:
    """Numbers the classes of pictures, one name for each, in natural order: class9 comes before class10."""
    names = tuple(sorted(set(classes), key=_natural))
    places = {name: place for place, name in enumerate(names)}
    return Labels(np.fromiter((places[one] for one in classes), np.int64, len(classes)), names)


def of_folders(names: Sequence[str], source: str) -> Labels:
    """The class of `cats/001.png` is cats: the first folder that tells pictures apart.

    A folder that holds all of them, as zips often do, tells nothing, and the next below it counts. Raises
    UnnoiseError where a picture lies in no such folder.
    """
    parts = [name.split("/") for name in names]
    depth = 0
    while len({part[depth] for part in parts}) == 1 and any(len(part) > depth + 2 for part in parts):
        depth += 1
    bare = next((name for name, part in zip(names, parts, strict=True) if len(part) < depth + 2), None)
    if bare is not None:
        raise UnnoiseError(
            f"A class is a folder below the source, but in {source!r} the picture {bare!r} lies in none: put "
            f"each class into a folder of its own, or name a .csv of files and classes."
        )
    return of_names([part[depth] for part in parts])


def of_values(values: NDArray[Any], where: str, names: tuple[str, ...] = ()) -> Labels:
    """Labels of an array: whole numbers from 0, (N,) or (N, 1), or text.

    Only the numbers that occur become classes, unless the `names` of all are known. Raises UnnoiseError for
    anything else; `where` is what the array is called in it.
    """
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim != 1 or values.dtype.kind not in "iuU":
        raise UnnoiseError(
            f"Labels must be one list of whole numbers from 0 or of text, but {where} holds {values.dtype} "
            f"of shape {values.shape}: save one label for each picture."
        )
    if values.dtype.kind == "U":
        return of_names(values.tolist())
    wrong = (values < 0) | (values >= len(names)) if names else values < 0
    if wrong.any():
        most = f"to {len(names) - 1}" if names else "upwards"
        raise UnnoiseError(
            f"Labels must be whole numbers from 0 {most}, but {where} holds {values[wrong][0]} at place "
            f"{int(wrong.argmax())}: number the classes from 0, and leave pictures without a class out."
        )
    if names:
        return Labels(values.astype(np.int64), names)
    known, places = np.unique(values, return_inverse=True)
    return Labels(places.astype(np.int64), tuple(str(one) for one in known.tolist()))


def counted(read: Callable[[], Labels]) -> dict[str, int]:
    """How many pictures each class has, in order; empty where there are no labels, or less than two classes."""
    try:
        found = read()
    except UnnoiseError:
        return {}  # whoever asks for labels is told why there are none; to look around they are not needed
    numbers = np.bincount(found.labels, minlength=len(found.names)).tolist()
    return dict(zip(found.names, numbers, strict=True)) if len(found.names) > 1 else {}


def none_known(source: str, remedy: str) -> UnnoiseError:
    """The error for a source that has no labels of its own."""
    return UnnoiseError(f"Labels were asked for, but {source!r} has none of its own: {remedy}.")


def _natural(name: str) -> tuple[list[str | tuple[int, str]], str]:
    """Sorts the numbers in a name by their value, and letters whatever their case."""
    parts = re.split(r"(\d+)", name)
    numbers = [(len(part.lstrip("0")), part.lstrip("0")) for part in parts[1::2]]
    texts = [part.casefold() for part in parts[0::2]]
    key: list[str | tuple[int, str]] = [texts[0]]
    for number, text in zip(numbers, texts[1:], strict=True):
        key += [number, text]
    return key, name
