"""Grouping of an image set: the class of each picture, and the pictures that folders such as test hold out."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from unnoise.data.folder_levels import FolderSplit, class_level, lost_classes, split_by_folders, split_hint
from unnoise.data.image_set import ImageSet
from unnoise.data.labels import Labels, labels_from_file
from unnoise.data.sources import Source
from unnoise.utils.errors import UnnoiseError, require


@dataclass(frozen=True)
class Grouping:
    """Which labels are asked for, and whether folders such as train and test are a split."""

    labels: bool | Path = False
    level: int | None = None
    """Level of the folders that name the classes, from 1; None for the first that is no split."""
    strict: bool = False
    """Whether a picture without a class is refused."""
    split_folders: bool = False


def grouped(images: ImageSet, source: Source, wanted: Grouping) -> ImageSet:
    """The same pictures with what `wanted` asks for, and sentences on what nobody would guess.

    Labels belong to the pictures that were read: skipped files shift none of them.

    Raises:
        UnnoiseError: where labels or a split are asked for that the source does not have.
    """
    known = source.picture_names()
    skipped = {one.name for one in images.skipped}
    names = [name for name in known if name not in skipped]
    split = split_by_folders(names, images.source) if wanted.split_folders else None
    notes = [] if split is None else [split.text(len(images))]
    if split is not None:
        images = replace(images, held_out_ranges=split.held_out)
    by_folder = wanted.labels is True and bool(known)
    if wanted.labels is not False:
        found = _labels(source, names, wanted, split)
        notes += _without_class(found, names, images.source, strict=wanted.strict)
        _require_usable(found, images)
        images = replace(images, labels=found.labels, class_names=found.names)
    level = class_level(names, images.source, wanted.level, split) if by_folder else None
    if level is not None:
        others = (*(one.name for one in images.skipped), *source.empty_folders())
        notes.append(lost_classes(level, images.class_names, others))
    if split is None:
        notes.append(split_hint(names, level, wanted.level or 1))
    told = tuple(note for note in notes if note)
    return replace(images, notes=images.notes + told) if told else images


def _labels(source: Source, names: Sequence[str], wanted: Grouping, split: FolderSplit | None) -> Labels:
    if isinstance(wanted.labels, Path):
        return labels_from_file(wanted.labels, names, source.picture_names(), source.name)
    return source.own_labels(names, wanted.level, split)


def _require_usable(found: Labels, images: ImageSet) -> None:
    """Raises UnnoiseError unless there is a label for each picture, and more than one class."""
    require(
        len(found.labels) == len(images),
        f"{images.source!r} has {len(images):,} pictures but {len(found.labels):,} labels. Name the labels "
        f"that belong to these pictures.",
    )
    some = "all pictures" if not found.without_class() else "all pictures with a class"
    classes = f"{some} of {images.source!r} are {found.names[0]!r}" if found.names else "no picture has one"
    require(
        len(found.names) > 1,
        f"Labels need at least two classes, but {classes}. Leave the labels out, or name pictures of more "
        f"classes.",
    )


def _without_class(found: Labels, names: Sequence[str], source: str, *, strict: bool) -> list[str]:
    """A sentence on the pictures without a class, which is an error where `strict`."""
    places = found.without_class()
    if not places:
        return []
    first = names[places[0]] if names else f"number {places[0]}"
    count = f"{len(places):,} of the {len(found.labels):,} pictures of {source!r}"
    have, are = ("has", "it is") if len(places) == 1 else ("have", "they are")
    if strict:
        raise UnnoiseError(
            f"{count} {have} no class, such as {first!r}. Give each a class, by a folder or a line in the "
            f".csv, or leave --strict-labels out to train on them without a class."
        )
    return [f"{count} {have} no class, such as {first!r}: {are} learned from without one."]
