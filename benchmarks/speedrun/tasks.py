"""Tasks of the speedrun: the pictures, the distance to reach, and the tracks of machines."""

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

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
        fingerprint: of the training pictures; empty where nobody had them yet.
    """

    name: str
    target: float
    source: str = ""
    side: int | None = None
    fingerprint: str = ""

    def pictures(self, source: str) -> PictureSet:
        """The pictures of a source, or of the task's own.

        Raises:
            UnnoiseError: where the task needs files and none are named, or they hold other pictures.
        """
        require(bool(source or self.source), f"The task {self.name} needs its pictures: --data FOLDER.")
        found = picture_set(source or self.source, self.side, self.name)
        have = found.training.fingerprint
        require(
            self.fingerprint in ("", have),
            f"{source or self.source} has other pictures than the task {self.name}: fingerprint {have}, "
            f"and not {self.fingerprint}.",
        )
        return found


TASKS: Mapping[str, Task] = {
    task.name: task
    for task in (
        Task("fashion-mnist", 1.0, "fashion-mnist", fingerprint="df9c89c6f2c88871040e0b8a4d83b944"),
        Task("emoji-64", 1.5, side=64, fingerprint="8d41e679e33cd0f94583a4bcb16b3652"),
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

    def environment(self, home: Path) -> dict[str, str]:
        """Environment variables of the entry's process, whose caches and other files lie in this folder."""
        threads = {"OMP_NUM_THREADS": str(self.cores)} if self.cores else {}
        seen = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0] if self.cards else ""
        places = {name: str(home) for name in _PLACES}
        return {**os.environ, **places, **threads, "CUDA_VISIBLE_DEVICES": seen}

    def require_here(self) -> None:
        """Checks that this machine has what the track needs.

        Raises:
            UnnoiseError: for too few processors, without `taskset`, or where PyTorch sees no CUDA device.
        """
        self.prefix()
        cores = len(_processors())
        require(cores >= self.cores, f"The track {self.name} needs {self.cores} cores, but there are {cores}.")
        seen = not self.cards or torch.cuda.is_available()
        require(seen, f"The track {self.name} needs a CUDA device, and PyTorch sees none here.")

    def prefix(self) -> Sequence[str]:
        """The command that keeps a process on its cores; none for all cores.

        Raises:
            UnnoiseError: where there is no `taskset`.
        """
        if not self.cores:
            return ()
        words = f"The track {self.name} needs taskset, of util-linux, which is not here. Measure on Linux."
        require(shutil.which("taskset") is not None, words)
        return "taskset", "--cpu-list", ",".join(map(str, _processors()[: self.cores]))


_PLACES = (
    *("HOME", "TMPDIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME"),
    *("HF_HOME", "TORCH_HOME", "TORCHINDUCTOR_CACHE_DIR", "UNNOISE_CACHE"),
)
"""Where programs keep what they may find again: a new folder for each run of an entry."""


def _processors() -> list[int]:
    """The numbers of the processors that this process may use; second threads of a core come last."""
    mine = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    firsts = dict[str, int]()
    for number in mine:
        siblings = Path(f"/sys/devices/system/cpu/cpu{number}/topology/thread_siblings_list")
        firsts.setdefault(siblings.read_text() if siblings.is_file() else str(number), number)
    return sorted(mine, key=lambda number: number not in firsts.values())


TRACKS: Mapping[str, Track] = {track.name: track for track in (Track("cpu-2", 2, ""), Track("gpu-1", 0, "0"))}


def write_data(pictures: PictureSet, path: Path) -> None:
    """Writes the training pictures for an entry: `images`, bytes (N, H, W, C), and `labels` if there are."""
    images = pictures.training
    whole = images.take(np.arange(len(images))).permute(0, 2, 3, 1).contiguous().numpy()
    if images.labels is None:
        np.savez(path, images=whole)
    else:
        np.savez(path, images=whole, labels=images.labels)
