"""Speed of loading pictures: from files, from the cache and from a disk, beside torchvision and datasets.

    python -m benchmarks.loading [--quick]

A folder of PNGs of 64 x 64 in colour, in shuffled batches of 64 uint8 tensors: by unnoise, by torchvision's
ImageFolder with PyTorch's DataLoader, and by the `imagefolder` of Hugging Face datasets with the same loader.
Whole passes over all pictures take turns with steps of the default preset on the same pictures. Libraries that
are not installed are left out; `make bench` installs them.
"""

import mmap
import os
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from benchmarks.random_pictures import png_folder
from benchmarks.report import MADE, folder_for, made, option_parser, publish, table
from benchmarks.turns import in_turns, medians
from unnoise.data import ImageSet, load
from unnoise.data.batches import Batches, split
from unnoise.runs.plan import TrainOptions, plan
from unnoise.trainer.loop import choose_device

BATCH, SIDE = 64, 64
WORKERS = (0, 2)
STEP = "a step of training"


class Way(NamedTuple):
    """A way of loading pictures; `take` loads all of them once, and returns the seconds."""

    name: str
    decodes: bool
    take: Callable[[], float]


def seconds_of(batches: Iterable[Tensor]) -> float:
    """Seconds until the last batch.

    Raises:
        RuntimeError: for a batch of another type or shape, so that all ways do the same work.
    """
    started = time.perf_counter()
    for batch in batches:
        if batch.dtype != torch.uint8 or batch.shape[1:] != (3, SIDE, SIDE):
            raise RuntimeError(f"A batch is uint8 (B, 3, {SIDE}, {SIDE}), not {batch.dtype} {batch.shape}.")
    return time.perf_counter() - started


def batch_numbers(images: ImageSet) -> Iterator[range]:
    """The numbers of the batches of one epoch after the other."""
    each, first = -(-len(images) // BATCH), 0
    while True:
        yield range(first, first + each)
        first += each


def from_files(folder: Path, place: Path) -> Way:
    """Unnoise with new pictures: all are decoded into an empty cache, and read from it."""

    def take() -> float:
        with tempfile.TemporaryDirectory(dir=place) as cache:
            started = time.perf_counter()
            images = load(folder, cache=Path(cache))
            batches = Batches(images, np.arange(len(images)), BATCH, 0)
            return time.perf_counter() - started + seconds_of(batches[k] for k in next(batch_numbers(images)))

    return Way("unnoise, the first time: into the cache, and from it", True, take)


def from_cache(folder: Path, cache: Path) -> Way:
    """Unnoise with pictures that are in the cache; opening it counts, too."""
    epochs = batch_numbers(load(folder, cache=cache))

    def take() -> float:
        started = time.perf_counter()
        images = load(folder, cache=cache)
        batches = Batches(images, np.arange(len(images)), BATCH, 0)
        return time.perf_counter() - started + seconds_of(batches[k] for k in next(epochs))

    return Way("unnoise, from the cache", False, take)


class ColdCache:
    """unnoise when the cache is on the disk only, as for a data set far larger than the memory.

    Before each batch the system is told to drop the file from memory, which is not timed. The system also says
    how much it then reads from the disk.
    """

    def __init__(self, folder: Path, cache: Path) -> None:
        self.images = load(folder, cache=cache)
        self.bytes_read: list[int] = []
        self._batches = Batches(self.images, np.arange(len(self.images)), BATCH, 0)
        self._epochs = batch_numbers(self.images)
        base: Any = self.images.pixels
        while isinstance(base, np.ndarray):
            base = base.base
        self._mapped: mmap.mmap = base
        self._path = Path(str(getattr(self.images.pixels, "filename", "")))

    def take(self) -> float:
        """One pass."""
        seconds, before = 0.0, _bytes_read()
        for number in next(self._epochs):
            self._drop_from_memory()
            seconds += seconds_of(self._batches[k] for k in (number,))
        self.bytes_read.append(_bytes_read() - before)
        return seconds

    def _drop_from_memory(self) -> None:
        self._mapped.madvise(mmap.MADV_DONTNEED)
        with self._path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)

    @property
    def share_read(self) -> float:
        """Bytes read from the disk in a pass, in units of the bytes of the pictures."""
        return median(self.bytes_read) / self.images.pixels.nbytes

    @property
    def was_cold(self) -> bool:
        """Whether the pictures did come from the disk; some file systems keep files in memory."""
        return self.share_read >= 0.9


def _bytes_read() -> int:
    lines = Path("/proc/self/io").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("read_bytes"))


def data_loaders(name: str, pictures: Any, collate: Callable[[Any], Tensor]) -> list[Way]:  # noqa: ANN401 (theirs)
    """PyTorch's DataLoader over a set of pictures, with and without worker processes."""
    ways = []
    for workers in WORKERS:
        loader = torch.utils.data.DataLoader(
            pictures,
            BATCH,
            shuffle=True,
            num_workers=workers,
            persistent_workers=workers > 0,
            collate_fn=collate,
        )
        ways.append(Way(f"{name}, {workers} workers", True, partial(seconds_of, loader)))
    return ways


def stacked(pairs: list[tuple[Tensor, int]]) -> Tensor:
    """The pictures of a batch of (picture, class)."""
    return torch.stack([picture for picture, _ in pairs])


def images_of(rows: list[dict[str, Any]]) -> Tensor:
    """The pictures of a batch of rows that hold Pillow images."""
    return torch.stack([torch.from_numpy(np.array(row["image"])).permute(2, 0, 1) for row in rows])


def other_libraries(folder: Path, place: Path) -> list[Way]:
    """The ways of the libraries that are installed."""
    ways = []
    if find_spec("torchvision"):
        from torchvision.datasets import ImageFolder
        from torchvision.transforms import PILToTensor

        ways += data_loaders("torchvision ImageFolder", ImageFolder(folder, PILToTensor()), stacked)
    if find_spec("datasets"):
        import datasets

        datasets.disable_progress_bars()
        pictures = datasets.load_dataset(
            "imagefolder", data_dir=str(folder), split="train", cache_dir=str(place / "datasets")
        )
        ways += data_loaders("datasets imagefolder", pictures, images_of)
    return ways


def training_step(images: ImageSet, device: torch.device) -> Callable[[], float]:
    """A step of the default preset on these pictures; returns its seconds."""
    config = plan(images, TrainOptions())
    diffusion = config.build(device)
    batches = Batches(images, split(len(images), config.data.held_out, 0).training, BATCH, 0)

    def step() -> float:
        started = time.perf_counter()
        float(diffusion.train_step(batches[0]).loss)
        return time.perf_counter() - started

    return step


def speeds(ways: list[Way], seconds: Mapping[str, float], count: int) -> str:
    """The table, for so many pictures in a pass; `seconds` are those of a pass, and of a step of training."""
    training, rows = BATCH / seconds[STEP], []
    for way in ways:
        rate = count / seconds[way.name]
        decodes = "yes" if way.decodes else "no"
        rows.append([way.name, decodes, f"{rate:,.0f}", f"{rate / BATCH:,.1f}", f"{rate / training:,.0f}"])
    rows.append(["training with the default preset", "", f"{training:,.1f}", f"{training / BATCH:,.1f}", "1"])
    return table(["", "decodes", "pictures a second", "batches a second", "times training"], rows, (0, 1))


def disk_note(cold: ColdCache | None) -> str:
    """What was read from the disk, as a sentence."""
    if cold is None:
        return "This system cannot drop a file from memory, so reading from the disk was not measured."
    if not cold.was_cold:
        return f"The disk is left out: the system read only {cold.share_read:.0%} of the bytes from it."
    return f"From the disk the system read {cold.share_read:.1f} times the bytes of the pictures."


def main() -> None:
    """Measures, and writes the table."""
    parser = option_parser(__doc__)
    parser.add_argument("--device", default="auto", help="of the training step (default: auto)")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    count, turns = (320, 1) if options.quick else (5_000, 7)
    device = choose_device(options.device)
    with ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder, cache = png_folder(place / "pictures", count), place / "cache"
        ways = [from_files(folder, place), from_cache(folder, cache)]
        cold = ColdCache(folder, cache) if Path("/proc/self/io").exists() else None
        if cold is not None:
            ways.append(Way("unnoise, from the cache on a bare disk", False, cold.take))
        ways += other_libraries(folder, place)
        runs = {way.name: way.take for way in ways} | {STEP: training_step(load(folder, cache=cache), device)}
        seconds = medians(in_turns(runs, turns, "Loading"))
    if cold is not None and not cold.was_cold:
        ways = [way for way in ways if way.take != cold.take]
    how = f"{count:,} PNGs of {SIDE} x {SIDE} in colour, {turns} turns. {disk_note(cold)}"
    command = f"--device {device} --threads {options.threads}"
    blocks = {
        MADE: made("loading", command, how, libraries=["torchvision", "datasets"]),
        "speed": speeds(ways, seconds, count),
    }
    publish("loading", __doc__, blocks, folder_for(options))


if __name__ == "__main__":
    main()
