"""Tasks of the speedrun: the pictures, the distance to reach, and the tracks of machines."""

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks.judges import PictureSet, picture_set
from unnoise.utils.errors import require

PICTURES = 1000
"""Pictures that an entry draws."""

MOST_COPIES = 0.05
"""Share of the pictures that may be copies of training pictures."""


class Task(NamedTuple):
    """Pictures to learn from, and the Fréchet distance that the drawn ones must reach.

    Args:
        name: of the task.
        target: mean Fréchet distance over the seeds, at most.
        source: what `unnoise.load` reads; empty where the files have to be named.
        side: of the pictures; None leaves them as they are.
    """

    name: str
    target: float
    source: str = ""
    side: int | None = None

    def pictures(self, source: str) -> PictureSet:
        """The pictures of a source, or of the task's own.

        Raises:
            UnnoiseError: where the task needs files and none are named.
        """
        require(bool(source or self.source), f"The task {self.name} needs its pictures: --data FOLDER.")
        return picture_set(source or self.source, self.side, self.name)


TASKS: Mapping[str, Task] = {
    task.name: task
    for task in (
        Task("fashion-mnist", 1.0, source="fashion-mnist"),
        Task("emoji-64", 1.5, side=64),
        Task("cifar-10", 10.0, side=32),
    )
}


class Track(NamedTuple):
    """Machine of an entry.

    Args:
        name: of the track.
        cores: processor cores that it sees; 0 for all.
        cards: CUDA devices that it sees.
    """

    name: str
    cores: int
    cards: str

    def environment(self) -> dict[str, str]:
        """Environment variables of the entry's process."""
        threads = {"OMP_NUM_THREADS": str(self.cores)} if self.cores else {}
        return {**os.environ, **threads, "CUDA_VISIBLE_DEVICES": self.cards}

    def prefix(self) -> Sequence[str]:
        """The command that keeps a process on its cores; none for all cores.

        Raises:
            UnnoiseError: where there is no `taskset`.
        """
        if not self.cores:
            return ()
        words = f"The track {self.name} needs taskset, of util-linux, which is not here. Measure on Linux."
        require(shutil.which("taskset") is not None, words)
        return "taskset", "--cpu-list", f"0-{self.cores - 1}"


TRACKS: Mapping[str, Track] = {track.name: track for track in (Track("cpu-2", 2, ""), Track("gpu-1", 0, "0"))}


def write_data(pictures: PictureSet, path: Path) -> None:
    """Writes the training pictures for an entry: `images`, bytes (N, H, W, C), and `labels` if there are."""
    images = pictures.training
    whole = images.take(np.arange(len(images))).permute(0, 2, 3, 1).contiguous().numpy()
    if images.labels is None:
        np.savez(path, images=whole)
    else:
        np.savez(path, images=whole, labels=images.labels)
