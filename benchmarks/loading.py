"""Pictures arrive faster than anything trains on them: from files, from the cache, and from a bare disk.

    python -m benchmarks.loading [--quick]

A folder of PNGs of 64 x 64 in colour, in shuffled batches of 64 uint8 tensors: by unnoise, by torchvision's
ImageFolder with PyTorch's DataLoader, and by the `imagefolder` of Hugging Face datasets with the same. Whole
passes over all pictures follow one another in turns (A B C A B C), so that a busy moment meets all; medians
count. Steps of the default preset on the same pictures are taken between them. Those that are not installed are
left out: `make bench` makes an environment with torchvision, to which `pip install datasets` adds the other.
Writes docs/loading.md.
"""

import argparse
import mmap
import os
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from benchmarks.data_memory import folder_of_pictures
from benchmarks.reports import machine, publish, table
from unnoise.cli.console import Bar, result
from unnoise.data import ImageSet, load
from unnoise.data.batches import Batches, split
from unnoise.runs.plan import Wishes, plan
from unnoise.training.loop import choose_device

BATCH, SIDE = 64, 64
WORKERS = (0, 2)
ENOUGH = 20
"""A loader is never what training waits for if it is so many times as fast."""

Pass = Callable[[], float]
"""Takes all pictures once; returns the seconds it took."""


class Way(NamedTuple):
    """One way to get at pictures."""

    name: str
    decodes: bool
    take: Pass
    ours: bool = False


def timed(batches: Iterable[Tensor]) -> float:
    """The seconds until the last batch; each has to be what was agreed on."""
    started = time.perf_counter()
    for batch in batches:
        if batch.dtype != torch.uint8 or batch.shape[1:] != (3, SIDE, SIDE):
            raise RuntimeError(f"A batch is uint8 (B, 3, {SIDE}, {SIDE}), not {batch.dtype} {batch.shape}.")
    return time.perf_counter() - started


def passes(images: ImageSet) -> Iterator[list[int]]:
    """The numbers of the batches of one epoch after the other."""
    each = -(-len(images) // BATCH)
    first = 0
    while True:
        yield list(range(first, first + each))
        first += each


def from_files(folder: Path, place: Path) -> Way:
    """Ours where the pictures are new: all are decoded into an empty cache, and taken from it."""

    def take() -> float:
        with tempfile.TemporaryDirectory(dir=place) as cache:
            started = time.perf_counter()
            images = load(folder, cache=Path(cache))
            batches = Batches(images, np.arange(len(images)), BATCH, 0)
            return time.perf_counter() - started + timed(batches[k] for k in next(passes(images)))

    return Way("unnoise, the first time: into the cache, and from it", True, take, ours=True)


def from_cache(folder: Path, cache: Path) -> Way:
    """Ours from then on: opening the cache counts, too."""
    numbers: list[int] = [0]

    def take() -> float:
        started = time.perf_counter()
        images = load(folder, cache=cache)
        batches = Batches(images, np.arange(len(images)), BATCH, 0)
        each = -(-len(images) // BATCH)
        first, numbers[0] = numbers[0], numbers[0] + each
        return time.perf_counter() - started + timed(batches[k] for k in range(first, first + each))

    return Way("unnoise, from the cache", False, take, ours=True)


class BareDisk:
    """Ours where nothing of the cache is in memory, as in a set that is far larger than it.

    Before each batch the system is told to forget the file, which does not count. What then is read from the
    disk is what the system says that this process had it read.
    """

    def __init__(self, folder: Path, cache: Path) -> None:
        self.images = load(folder, cache=cache)
        self.read: list[int] = []
        self._batches = Batches(self.images, np.arange(len(self.images)), BATCH, 0)
        self._passes = passes(self.images)
        base: Any = self.images.pixels
        while isinstance(base, np.ndarray):
            base = base.base
        self._mapped: mmap.mmap = base
        self._path = Path(str(getattr(self.images.pixels, "filename", "")))

    def take(self) -> float:
        """One pass."""
        seconds, before = 0.0, _bytes_read()
        for number in next(self._passes):
            self._forget()
            seconds += timed(self._batches[k] for k in (number,))
        self.read.append(_bytes_read() - before)
        return seconds

    def _forget(self) -> None:
        self._mapped.madvise(mmap.MADV_DONTNEED)
        with self._path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)

    @property
    def really(self) -> bool:
        """Whether the disk was asked for as much as was taken; some file systems keep files in memory."""
        return median(self.read) >= 0.9 * self.images.pixels.nbytes


def _bytes_read() -> int:
    lines = Path("/proc/self/io").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("read_bytes"))


def loaders(name: str, pictures: Any, collate: Callable[[Any], Tensor]) -> list[Way]:  # noqa: ANN401 (theirs)
    """PyTorch's own way over a set of pictures, with and without processes that help."""
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
        ways.append(Way(f"{name}, {workers} workers", True, partial(timed, loader)))
    return ways


def stacked(pairs: list[tuple[Tensor, int]]) -> Tensor:
    """The pictures of a batch of (picture, class)."""
    return torch.stack([picture for picture, _ in pairs])


def images_of(rows: list[dict[str, Any]]) -> Tensor:
    """The pictures of a batch of rows, which hold pictures of Pillow's."""
    return torch.stack([torch.from_numpy(np.array(row["image"])).permute(2, 0, 1) for row in rows])


def others(folder: Path, place: Path) -> list[Way]:
    """What is installed beside unnoise."""
    ways = []
    if find_spec("torchvision"):
        from torchvision.datasets import ImageFolder
        from torchvision.transforms import PILToTensor

        ways += loaders("torchvision ImageFolder", ImageFolder(folder, PILToTensor()), stacked)
    if find_spec("datasets"):
        import datasets

        datasets.disable_progress_bars()
        pictures = datasets.load_dataset(
            "imagefolder", data_dir=str(folder), split="train", cache_dir=str(place / "datasets")
        )
        ways += loaders("datasets imagefolder", pictures, images_of)
    return ways


class Training:
    """Steps of the default preset on these pictures."""

    def __init__(self, images: ImageSet, device: torch.device) -> None:
        config = plan(images, Wishes())
        self._diffusion = config.build(device)
        self._batches = Batches(images, split(len(images), config.data.held_out, 0).training, BATCH, 0)

    def __call__(self) -> float:
        """The seconds of one step."""
        started = time.perf_counter()
        float(self._diffusion.train_step(self._batches[0]).loss)
        return time.perf_counter() - started


def measured(ways: list[Way], step: Callable[[], float], turns: int) -> tuple[dict[str, float], float]:
    """The median seconds of a pass in each way, and of a step; a first turn only warms up."""
    taken: dict[str, list[float]] = {way.name: [] for way in ways}
    steps: list[float] = []
    with Bar("Loading", turns + 1) as shown:
        for turn in range(turns + 1):
            for way in ways:
                seconds = way.take()
                if turn:
                    taken[way.name].append(seconds)
            seconds = step()
            if turn:
                steps.append(seconds)
            shown.advance(1)
    return {name: median(times) for name, times in taken.items()}, median(steps)


def page(ways: list[Way], seconds: Mapping[str, float], count: int, step: float, device: str) -> list[str]:
    """What was found, for so many pictures in a pass; `step` is the seconds of a step of training."""
    training = BATCH / step
    rows, ratios = [], []
    for way in ways:
        rate = count / seconds[way.name]
        decodes = "yes" if way.decodes else "no"
        rows.append([way.name, decodes, f"{rate:,.0f}", f"{rate / BATCH:,.1f}", f"{rate / training:,.0f}"])
        if way.ours:
            ratios.append(rate / training)
    verdict = "at least" if min(ratios) >= ENOUGH else "less than"
    return [
        "# How fast pictures arrive",
        f"unnoise alone delivers {min(ratios):,.0f} to {max(ratios):,.0f} times as many pictures as the "
        f"default preset trains on ({device}, {training:,.1f} pictures a second): {verdict} {ENOUGH} times in "
        "each way.",
        table(["", "decodes", "pictures a second", "batches a second", "times training"], rows, (0, 1)),
    ]


def told(read: BareDisk | None) -> str:
    """What was measured with an empty memory, in words."""
    if read is None:
        return "The system here can't be told to forget a file, so nothing was read from a bare disk."
    share = median(read.read) / read.images.pixels.nbytes
    if not read.really:
        return (
            f"The row of the bare disk is left out: the system read only {share:.0%} of the bytes from a disk."
        )
    return f"From the bare disk the system read {share:.1f} times the bytes of the pictures, as they lie apart."


def main() -> None:
    """Measures, prints the page, and writes it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few pictures and turns, to see that it works")
    parser.add_argument("--device", default="auto", help="trains (default: auto)")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--docs", type=Path, default=Path("docs"), help="the folder to write to")
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    count, turns = (320, 1) if asked.quick else (5_000, 7)
    device = choose_device(asked.device)
    with ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder, cache = folder_of_pictures(place / "pictures", count), place / "cache"
        ways = [from_files(folder, place), from_cache(folder, cache)]
        bare = BareDisk(folder, cache) if Path("/proc/self/io").exists() else None
        if bare is not None:
            ways.append(Way("unnoise, from the cache on a bare disk", False, bare.take, ours=True))
        ways += others(folder, place)
        seconds, step = measured(ways, Training(load(folder, cache=cache), device), turns)
    if bare is not None and not bare.really:
        ways = [way for way in ways if way.take != bare.take]
    quick = " --quick" if asked.quick else ""
    libraries = [f"{name} {version(name)}" for name in ("torchvision", "datasets") if find_spec(name)]
    paragraphs = [
        *page(ways, seconds, count, step, str(device)),
        f"{count:,} PNGs of {SIDE} x {SIDE} in colour in shuffled batches of {BATCH}, as uint8 in memory; the "
        f"first row decodes each picture once, and opening the cache counts in the second. {told(bare)}",
        f"```sh\npython -m benchmarks.loading{quick} --device {device} --threads {asked.threads}\n```",
        f"{turns} turns. Measured on {datetime.now(UTC):%Y-%m-%d} on: {', '.join([machine(), *libraries])}.",
    ]
    print("\n\n".join(paragraphs))
    publish(asked.docs / "loading.md", *paragraphs)
    result("page", asked.docs / "loading.md")


if __name__ == "__main__":
    main()
