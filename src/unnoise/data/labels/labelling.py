"""A label belongs to a picture that was read: files that were skipped shift nothing."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from unnoise.data.image_set import ImageSet
from unnoise.data.labels.classes import Labels
from unnoise.data.labels.label_files import csv_labels, idx_labels, is_csv
from unnoise.data.sources.origin import Origin
from unnoise.utils.errors import require


def labelled(images: ImageSet, origin: Origin, labels: bool | Path) -> ImageSet:
    """The same pictures with their classes: none (False), the source's own (True), or those of a file.

    Raises UnnoiseError where a picture has none, or all have the same.
    """
    if labels is False:
        return images
    known = origin.picture_names()
    skipped = {one.name for one in images.skipped}
    names = [name for name in known if name not in skipped]
    found = origin.own_labels(names) if labels is True else _of_file(labels, names, known, images.source)
    require(
        len(found.labels) == len(images),
        f"Every picture needs one label, but {images.source!r} has {len(images):,} pictures and "
        f"{len(found.labels):,} labels: name the labels that belong to these pictures.",
    )
    require(
        len(found.names) > 1,
        f"Labels need at least two classes, but all pictures of {images.source!r} are "
        f"{', '.join(map(repr, found.names))}: leave the labels out, or name pictures of more classes.",
    )
    return replace(images, labels=found.labels, class_names=found.names)


def _of_file(path: Path, names: Sequence[str], known: Sequence[str], source: str) -> Labels:
    path = path.expanduser()
    listed = is_csv(path)
    require(
        listed == bool(known),
        f"Files are labelled by name, in a .csv, and the pictures of an array by order, in an IDX file, but "
        f"{str(path)!r} was given for {source!r}: name a file of the {'first' if known else 'second'} kind.",
    )
    return csv_labels(path, names, frozenset(known), source) if listed else idx_labels(path)
