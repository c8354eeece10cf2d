"""Fuzz targets, which take any bytes: an exception other than the expected error is a bug."""

import atexit
import io
import tempfile
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from fuzz import seeds
from unnoise.data.cache_building import with_ranges
from unnoise.data.decoding.array_files import read_array, read_npz_labels
from unnoise.data.decoding.conversion import DecodeSettings
from unnoise.data.decoding.decode import UnreadableError, decode, measure, read_header
from unnoise.data.decoding.pillow_guard import quiet_pillow
from unnoise.data.decoding.value_range import merged, with_found
from unnoise.data.labels import labels_from_csv, labels_from_idx
from unnoise.data.sources import find_source
from unnoise.runs.config import RunConfig
from unnoise.runs.history import read_history
from unnoise.runs.presets import recipe
from unnoise.utils.errors import UnnoiseError
from unnoise.utils.tensor_files import read_tensors


class Target(NamedTuple):
    """A function of the bytes, and valid inputs to start from."""

    read: Callable[[bytes], object]
    seeds: Callable[[], list[bytes]]


@cache
def _folder() -> Path:
    made = tempfile.TemporaryDirectory(prefix="unnoise-fuzz-")
    atexit.register(made.cleanup)
    return Path(made.name)


def _written(data: bytes, name: str) -> Path:
    path = _folder() / name
    path.write_bytes(data)
    return path


def read_picture(data: bytes) -> None:
    """Reads the header and the pixels of one image."""
    settings = DecodeSettings((3, 5), 1 + len(data) % 4, ("crop", "pad")[len(data) % 3 == 0])
    with quiet_pillow:
        settings = replace(settings, ranges=with_found(None, merged([measure(data)])))
        try:
            size = read_header(io.BytesIO(data)).size
            assert min(size) >= 1
            pixels = decode(data, settings)
        except UnreadableError as error:
            _require_message(error)
            return
    assert (pixels.shape, pixels.dtype) == ((3, 5, settings.channels), np.uint8)


def read_zip(data: bytes) -> None:
    """Reads every member, and checks that nothing was unpacked elsewhere."""
    path = _written(data, "x.zip")
    try:
        with (
            quiet_pillow,
            closing(find_source(path, _folder())) as source,
            closing(source.batches(with_ranges(source, SETTINGS, progress=False))) as batches,
        ):
            for batch in batches:
                assert (batch.pixels is None) != (batch.skipped is None)
                assert batch.skipped is None or batch.skipped.reason
    except UnnoiseError as error:
        _require_message(error)
    assert {one.name for one in _folder().iterdir()} <= NAMES


def _reading(name: str, read: Callable[[Path], object]) -> Callable[[bytes], object]:
    def target(data: bytes) -> object:
        try:
            return read(_written(data, name))
        except UnnoiseError as error:
            return _require_message(error)

    return target


def _pictures_of(path: Path) -> None:
    array = read_array(path).pixels
    assert array.ndim == 4
    assert array.dtype.kind in "buif"
    if path.suffix == ".npz":
        read_npz_labels(path)


def _labels_of(path: Path) -> None:
    found = labels_from_csv(path, ("a.png", "b.png"), {"a.png", "b.png", "c/d.png"}, "x")
    assert len(found.labels) == 2


def _idx_of(path: Path) -> None:
    try:
        _pictures_of(path)
    finally:
        labels_from_idx(path)


def _config_of(path: Path) -> None:
    text = path.read_bytes().decode("utf-8", "replace")
    config = RunConfig.from_json(text, path)
    assert RunConfig.from_json(config.to_json(), path) == config


def _change(path: Path) -> None:
    recipe("default", 1, 8, 8).changed([path.read_bytes().decode("utf-8", "replace")])


def _require_message(error: Exception) -> None:
    assert str(error).strip(), "an error needs a message"


SETTINGS = DecodeSettings((3, 5), 3)
NAMES = {"x.zip", "x.npy", "x.npz", "x.idx", "x.csv", "config.json", "x.safetensors", "history.csv", "change"}
TARGETS = {
    "decode": Target(read_picture, seeds.pictures),
    "zip": Target(read_zip, seeds.zips),
    "npy": Target(_reading("x.npy", _pictures_of), seeds.npys),
    "npz": Target(_reading("x.npz", _pictures_of), seeds.npzs),
    "idx": Target(_reading("x.idx", _idx_of), seeds.idx),
    "csv": Target(_reading("x.csv", _labels_of), seeds.csvs),
    "config": Target(_reading("config.json", _config_of), seeds.configs),
    "safetensors": Target(_reading("x.safetensors", read_tensors), seeds.weights),
    "history": Target(_reading("history.csv", read_history), seeds.tables),
    "set": Target(_reading("change", _change), seeds.changes),
}


def read_any(data: bytes) -> None:
    """Gives all bytes but the first to the target that the first one chooses."""
    each = list(TARGETS.values())
    if data:
        each[data[0] % len(each)].read(data[1:])


def any_seeds() -> list[bytes]:
    return [bytes([place]) + data for place, one in enumerate(TARGETS.values()) for data in one.seeds()]


ALL = Target(read_any, any_seeds)
