"""What a process holds at most while it trains, for few pictures and for many: the system counts it."""

import sys
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.children import peak_of
from unnoise.cli.console import Bar


def folder_of_pictures(folder: Path, count: int, side: int = 64) -> Path:
    """Writes so many small pictures: pieces of smooth noise, each another."""
    numbers = np.random.default_rng(0)
    coarse = Image.fromarray(numbers.integers(0, 256, (256, 256, 3), np.uint8)).resize((2048, 2048))
    whole = np.asarray(coarse)
    with Bar("Writing pictures", count) as shown:
        for number in range(count):
            path = folder / f"{number // 1000:03d}" / f"{number:06d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            top, left = numbers.integers(0, 2048 - side, 2)
            Image.fromarray(whole[top : top + side, left : left + side]).save(path, compress_level=1)
            shown.advance(1)
    return folder


def peak(folder: Path, out: Path, count: int) -> float:
    """MB that a process holds at most which trains a tiny network on these pictures for so many steps."""
    small = ["network.widths=[8,16]", 'network.attention=["none","none"]', "network.block_depth=1"]
    options = ["--steps", str(count), "--device", "cpu", "--out", str(out), "--set", *small]
    arguments = [sys.executable, "-m", "unnoise", "train", str(folder), *options]
    return peak_of(arguments)


def memory(folder: Path, counts: tuple[int, int], steps_each: int) -> list[list[str]]:
    """Peaks of the first training, which fills the cache, and of a second, for few pictures and for many."""
    rows = []
    for count in counts:
        pictures = folder_of_pictures(folder / f"pictures-{count}", count)
        first = peak(pictures, folder / f"first-{count}", 20)
        second = peak(pictures, folder / f"second-{count}", steps_each)
        rows.append([f"{count:,}", f"{first:.0f}", f"{second:.0f}"])
    grown = [float(many) / float(few) - 1 for few, many in zip(rows[0][1:], rows[1][1:], strict=True)]
    return [*rows, ["growth", *(f"{part:+.1%}" for part in grown)]]
