"""Folder levels: which folders name the classes of pictures, and which split them (train, test)."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from unnoise.data.labels import Labels, labels_from_names
from unnoise.utils.errors import UnnoiseError, require

TRAINING_FOLDERS = frozenset({"train", "training"})
HELD_OUT_FOLDERS = frozenset({"test", "testing", "val", "valid", "validation", "eval"})
"""Names of the folders of a split, in any case."""
_SHOWN = 10

IndexRanges = tuple[tuple[int, int], ...]
"""Indices as ranges, each from its first to before its end: ((0, 2), (5, 6)) are 0, 1 and 5."""


class FolderSplit(NamedTuple):
    """Pictures as their folders split them: those of train to learn from, those of test and val held out."""

    depth: int
    """Number of folders above those of the split."""
    training: tuple[str, ...]
    """Names of the folders to learn from."""
    testing: tuple[str, ...]
    """Names of the folders that are held out."""
    held_out: IndexRanges
    """Indices of the pictures that are held out."""

    def text(self, count: int) -> str:
        """A sentence on which of `count` pictures are learned from, and which are held out."""
        tested = sum(end - first for first, end in self.held_out)
        together = ", all of them together" if len(self.testing) > 1 else ""
        return (
            f"Of {count:,} pictures the {count - tested:,} in {_listed(self.training)} are learned from, and "
            f"the {tested:,} in {_listed(self.testing)} are held out{together}."
        )


def split_by_folders(names: Sequence[str], source: str) -> FolderSplit:
    """The split of pictures by folders such as train and test, at the first level that has both.

    Args:
        names: of the pictures, in order.
        source: as the caller named it.

    Raises:
        UnnoiseError: if there are no such folders, or pictures outside of them.
    """
    paths = [_folders(name) for name in names]
    depth = _split_depth(paths)
    if depth is None:
        raise UnnoiseError(
            f"--split-folders takes folders such as train and test apart, but {source!r} has no two of that "
            f"kind. Leave it out; --held-out N holds out N pictures at random."
        )
    outside = [name for name, path in zip(names, paths, strict=True) if _kind(path, depth) is None]
    if outside:
        raise UnnoiseError(
            f"--split-folders takes each picture by its folder, such as train or test, but {len(outside):,} of "
            f"{source!r} lie in none of them, such as {outside[0]!r}. Move them, or leave the option out."
        )
    tested = np.array([_kind(path, depth) == "test" for path in paths])
    edges = np.flatnonzero(np.diff(tested, prepend=False, append=False)).tolist()
    return FolderSplit(
        depth,
        _names_of("train", paths, depth),
        _names_of("test", paths, depth),
        tuple(zip(edges[::2], edges[1::2], strict=True)),
    )


class ClassLevel(NamedTuple):
    """The level of folders that names the classes."""

    depth: int
    """Number of folders above those of the classes."""
    without: int | None = None
    """Depth of folders that do not count, such as train and test."""

    def of(self, name: str) -> str | None:
        """The class of a picture, or None where it lies in no folder of that level."""
        path = _folders(name, self.without)
        return path[self.depth] if len(path) > self.depth else None


def class_level(
    names: Sequence[str], source: str, level: int | None = None, split: FolderSplit | None = None
) -> ClassLevel:
    """The folders that name the classes: `level` 1 is the first in which the pictures differ, 2 the one below.

    A folder around all of them, as zips often have, is looked through. Without a level those of the split do
    not count, so the classes of train/cat and test/cat are one.

    Raises:
        UnnoiseError: for a level that no picture has, or that is the split.
    """
    without = split.depth if split is not None and level is None else None
    paths = [_folders(name, without) for name in names]
    first = 0
    while _one_alone(paths, first):
        first += 1
    found = ClassLevel(first + (level or 1) - 1, without)
    deepest = max(map(len, paths), default=0) - first
    if deepest == 0:
        raise UnnoiseError(
            f"The picture {names[0]!r} of {source!r} lies in no folder of a class. Put each class into a "
            f"folder of its own, or name a .csv of files and classes."
        )
    require(
        (level or 1) <= deepest,
        f"--labels auto:{level} takes folders of level {level} as classes, but the pictures of {source!r} lie "
        f"at most {deepest} {'level' if deepest == 1 else 'levels'} deep. Choose a level from 1 to {deepest}.",
    )
    require(
        split is None or level is None or found.depth != split.depth,
        f"--labels auto:{level} takes the folders as classes that --split-folders takes as the split. Write "
        f"--labels auto for the folders inside them.",
    )
    return found


def labels_from_folders(
    names: Sequence[str], source: str, level: int | None = None, split: FolderSplit | None = None
) -> Labels:
    """Labels by folder: the class of `cats/001.png` is cats; a picture in no folder of a class has none.

    Raises UnnoiseError if no picture has a class; see `class_level`.
    """
    chosen = class_level(names, source, level, split)
    return labels_from_names([chosen.of(name) for name in names])


def split_hint(names: Sequence[str], classes: ClassLevel | None, level: int) -> str:
    """A sentence for pictures in folders such as train and test, which nobody said are a split; else empty.

    Args:
        names: of the pictures.
        classes: the folders that are taken as classes, if any are.
        level: of these folders, as `--labels auto:LEVEL` counts.
    """
    paths = [_folders(name) for name in names]
    depth = _split_depth(paths)
    if depth is None:
        return ""
    training, testing = (_names_of(kind, paths, depth) for kind in ("train", "test"))
    remedy = f"--split-folders learns from {_listed(training)} and holds {_listed(testing)} out"
    if classes is None or classes.depth != depth:
        return f"Pictures of {_listed((*training, *testing))} are mixed. {remedy}."
    deeper = any(len(path) > depth + 1 for path in paths)
    inside = f"--labels auto:{level + 1} takes the folders inside them as classes, and " if deeper else ""
    return f"{_listed((*training, *testing))} became classes, like any folders. {inside}{remedy}."


def lost_classes(classes: ClassLevel, taken: Sequence[str], others: Iterable[str]) -> str:
    """A sentence on folders of classes without a picture that was read; else empty.

    Args:
        classes: the folders of the classes.
        taken: names of the classes that have pictures.
        others: names of files that were not read, and of folders without a picture, with a slash at the end.
    """
    found = {kind for kind in map(classes.of, others) if kind is not None}
    lost = labels_from_names(sorted(found - set(taken))).names
    if not lost:
        return ""
    hold, are = ("folder holds", "is") if len(lost) == 1 else ("folders hold", "are")
    return (
        f"{len(lost):,} {hold} no picture that can be read, and {are} left out of the classes: {_listed(lost)}."
    )


def _folders(name: str, without: int | None = None) -> list[str]:
    path = name.split("/")[:-1]
    return path if without is None else path[:without] + path[without + 1 :]


def _one_alone(paths: Sequence[Sequence[str]], depth: int) -> bool:
    """Whether all pictures that lie so deep are in one folder, which has folders itself."""
    found = {path[depth] for path in paths if len(path) > depth}
    return len(found) == 1 and any(len(path) > depth + 1 for path in paths)


def _kind(path: Sequence[str], depth: int) -> str | None:
    name = path[depth].casefold() if len(path) > depth else ""
    return "train" if name in TRAINING_FOLDERS else "test" if name in HELD_OUT_FOLDERS else None


def _split_depth(paths: Sequence[Sequence[str]]) -> int | None:
    """The first depth with folders of both kinds, to learn from and to test with."""
    for depth in range(max(map(len, paths), default=0)):
        folders = {path[depth] for path in paths if len(path) > depth}
        if {"train", "test"} <= {_kind([name], 0) for name in folders}:
            return depth
    return None


def _names_of(kind: str, paths: Sequence[Sequence[str]], depth: int) -> tuple[str, ...]:
    return tuple(sorted({path[depth] for path in paths if _kind(path, depth) == kind}))


def _listed(names: Sequence[str]) -> str:
    if len(names) > _SHOWN:
        return f"{', '.join(names[:_SHOWN])} and {len(names) - _SHOWN:,} more"
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
