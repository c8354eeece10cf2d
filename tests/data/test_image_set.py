"""Memory of a mapped image set: constant for any number of pictures, with prefetching."""

import mmap
import resource
import sys
from typing import ClassVar

import numpy as np
import pytest

from helpers.killed import server
from unnoise.data import load
from unnoise.data.image_set import MappedPages, chunks

SHAPE = (32, 32, 3)


def large(path, count):
    """An array of so many pictures that takes no disk: a file with a hole."""
    array = np.lib.format.open_memmap(path, "w+", np.uint8, (count, *SHAPE))
    array[::97, ::9] = 200
    array.flush()
    return path


def peak_of_an_epoch(path: str) -> int:
    """Peak resident set, in kB, of loading a set, fitting to it, and taking each picture once."""
    images = load(path)
    _ = images.moments
    order = np.random.default_rng(0).permutation(len(images))
    for first in range(0, len(order), 64):
        images.take(order[first : first + 64])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="other systems count resident pages otherwise")
def test_a_hundred_thousand_pictures_take_the_memory_of_a_thousand(tmp_path, monkeypatch):
    monkeypatch.setenv("UNNOISE_CACHE", str(tmp_path / "cache"))
    few, many = large(tmp_path / "few.npy", 1000), large(tmp_path / "many.npy", 100_000)
    assert many.stat().st_size > 3e8
    with server().Pool(1, maxtasksperchild=1) as pool:  # another server would serve test_kills, and slowly
        peaks = [pool.apply(peak_of_an_epoch, (str(path),)) for path in (few, many)]
    assert peaks[1] < 1.1 * peaks[0], peaks


def test_released_pages_are_read_again(tmp_path):
    pixels = np.load(large(tmp_path / "some.npy", 300), mmap_mode="r")
    pages = MappedPages(pixels[10:])  # a view is of the same file
    before = pixels.sum()
    for _ in range(5):
        pages.count_read(200)
    assert pixels.sum() == before > 0
    assert sum(int(some.sum()) for some in chunks(pixels, 64)) == before
    MappedPages(np.zeros((0, 2, 2, 1), np.uint8)).count_read(10**9)  # has no pages to release


class RecordingMap(mmap.mmap):
    """A mapped file that records which bytes it was asked to prefetch."""

    asked: ClassVar[list[tuple[int, int]]] = []

    def madvise(self, option, start=0, length=None):
        assert option == mmap.MADV_WILLNEED
        self.asked.append((start, start + length))
        super().madvise(option, start, length)


@pytest.mark.skipif(not hasattr(mmap, "MADV_WILLNEED"), reason="other systems are asked for nothing")
@pytest.mark.parametrize("first", [0, 3])
def test_the_bytes_of_the_pictures_are_prefetched(tmp_path, monkeypatch, first):
    monkeypatch.setattr(RecordingMap, "asked", [])
    path, header, each = tmp_path / "bytes", 128, 64 * 64 * 3
    path.write_bytes(bytes(header + 40 * each))
    with path.open("r+b") as file:
        mapped = RecordingMap(file.fileno(), 0)
    pixels = np.ndarray((40, 64, 64, 3), np.uint8, mapped, header)[first:]
    MappedPages(pixels).prefetch(np.array([7, 30, 0, 500, -1]))  # of which two are not there
    assert len(mapped.asked) == 3
    for place, (start, end) in zip((7, 30, 0), mapped.asked, strict=True):
        begins = header + (first + place) * each
        assert start % mmap.PAGESIZE == 0
        assert begins - mmap.PAGESIZE < start <= begins
        assert end == begins + each


def test_nothing_is_prefetched_for_arrays_in_memory_or_indices_outside(tmp_path):
    pixels = np.load(large(tmp_path / "some.npy", 30), mmap_mode="r")
    MappedPages(pixels).prefetch(np.zeros(30, bool))
    MappedPages(pixels[::-1]).prefetch(np.arange(30))
    MappedPages(np.zeros((3, 2, 2, 1), np.uint8)).prefetch(np.arange(3))
    images = load(tmp_path / "some.npy", cache=tmp_path / "cache")
    with pytest.raises(IndexError):
        images.take([30])
    assert (images.take(np.array([29, -1])).numpy() == pixels[29].transpose(2, 0, 1)).all()
