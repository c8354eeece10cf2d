"""Decoded pieces: an interrupted decoding goes on where it was, and a damaged piece is decoded again."""

import errno
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from helpers.data_files import save_many
from unnoise.data import cache_building, load, pieces
from unnoise.data.sources import array_source, picture_files
from unnoise.networks import limits
from unnoise.utils.errors import UnnoiseError

COUNT = 200


@pytest.fixture
def store(tmp_path):
    return tmp_path / "store"


def folder_of(path: Path) -> Path:
    save_many(path, {f"{n:03}.png": (n, n, n) for n in range(COUNT)})
    (path / "100.png").write_text("no picture")
    return path


def zip_of(path: Path) -> Path:
    return Path(shutil.make_archive(str(path), "zip", folder_of(path)))


def array_of(path: Path) -> Path:
    values = np.random.default_rng(0).integers(0, 256, (700, 6, 6, 3), dtype=np.uint8)
    np.save(path.with_suffix(".npy"), values)
    return path.with_suffix(".npy")


SOURCES = pytest.mark.parametrize("made", [folder_of, zip_of, array_of])


def stopping(monkeypatch, after: int, error: BaseException | None = None) -> list[int]:
    """Raises the error once so many pictures were taken in; the list has the number that each batch held."""
    take, decode_all, seen, begun = cache_building.Tally.add, pieces.decode_all, list[int](), list[int]()

    def add(self, batch):
        if begun:  # else it was on the disk
            seen.append(batch.seen)
        if error is not None and sum(seen) > after:
            raise error
        take(self, batch)

    def beginning(*some, **more):
        begun.append(1)
        return decode_all(*some, **more)

    monkeypatch.setattr(cache_building.Tally, "add", add)
    monkeypatch.setattr(pieces, "decode_all", beginning)
    return seen


def interrupted(source: Path, store: Path, after: int) -> None:
    with pytest.MonkeyPatch.context() as patches:
        stopping(patches, after, KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt):
            load(source, size=(4, 4), channels=3, cache=store)


def same(left, right) -> bool:
    facts = (left.fingerprint, left.skipped, left.notes) == (right.fingerprint, right.skipped, right.notes)
    return facts and np.array_equal(left.pixels, right.pixels) and np.array_equal(left.moments, right.moments)


def left_over(store: Path) -> list[Path]:
    return sorted((store / "pieces").rglob("*")) if (store / "pieces").exists() else []


@SOURCES
def test_an_interrupted_decoding_goes_on_where_it_was(tmp_path, store, monkeypatch, made):
    source = made(tmp_path / "pictures")
    whole = load(source, size=(4, 4), channels=3, cache=tmp_path / "other")
    total = 700 if made is array_of else COUNT
    after = 600 if made is array_of else 130
    interrupted(source, store, after)
    assert [path.name for path in left_over(store) if path.is_file()] == ["journal.jsonl", "pixels.npy"]
    seen = stopping(monkeypatch, total)
    found = load(source, size=(4, 4), channels=3, cache=store)
    kept = 512 if made is array_of else after
    assert sum(seen) == total - kept
    assert same(found, whole)
    assert left_over(store) == []
    monkeypatch.undo()
    assert same(load(source, size=(4, 4), channels=3, cache=store), whole)


def test_a_decoding_is_interrupted_again_and_again(tmp_path, store, monkeypatch):
    source = folder_of(tmp_path / "pictures")
    for _ in range(4):
        interrupted(source, store, 40)
    seen = stopping(monkeypatch, COUNT)
    found = load(source, size=(4, 4), channels=3, cache=store)
    assert sum(seen) == COUNT - 4 * 40
    assert found.pixels[:, 0, 0, 0].tolist() == [n for n in range(COUNT) if n != 100]


def cut_pixels(folder: Path) -> None:
    os.truncate(folder / "pixels.npy", (folder / "pixels.npy").stat().st_size - 5)


def change_pixel(folder: Path) -> None:
    data = bytearray((folder / "pixels.npy").read_bytes())
    data[-3] ^= 1
    (folder / "pixels.npy").write_bytes(data)


def change_header(folder: Path) -> None:
    data = (folder / "pixels.npy").read_bytes()
    (folder / "pixels.npy").write_bytes(data.replace(b"200", b"201", 1))


def cut_journal(folder: Path) -> None:
    os.truncate(folder / "journal.jsonl", (folder / "journal.jsonl").stat().st_size - 5)


def spoil_journal(folder: Path) -> None:
    lines = (folder / "journal.jsonl").read_bytes().splitlines(keepends=True)
    (folder / "journal.jsonl").write_bytes(lines[0] + b'{"batches": [[1, 2]], "checksum": 3}\n' + lines[1])


def more_pixels(folder: Path) -> None:
    """Killed between the pixels of a piece and its line."""
    with (folder / "pixels.npy").open("ab") as file:
        file.write(b"1234567")


@pytest.mark.parametrize(
    ("damage", "kept"),
    [
        *[(cut_pixels, 128), (change_pixel, 128), (change_header, 0), (cut_journal, 128), (spoil_journal, 64)],
        *[(more_pixels, 130), (lambda folder: (folder / "pixels.npy").unlink(), 0)],
        (lambda folder: (folder / "journal.jsonl").unlink(), 0),
    ],
)
def test_damaged_pieces_are_decoded_again(tmp_path, store, monkeypatch, damage: Callable[[Path], None], kept):
    source = folder_of(tmp_path / "pictures")
    interrupted(source, store, 130)
    (folder,) = [path for path in left_over(store) if path.is_dir()]
    damage(folder)
    seen = stopping(monkeypatch, COUNT)
    found = load(source, size=(4, 4), channels=3, cache=store)
    assert sum(seen) == COUNT - kept
    assert found.pixels[:, 0, 0, 0].tolist() == [n for n in range(COUNT) if n != 100]
    assert left_over(store) == []


def test_pieces_of_files_that_changed_since_are_not_used(tmp_path, store):
    source = folder_of(tmp_path / "pictures")
    interrupted(source, store, 130)
    save_many(source, {"005.png": (250, 0, 0), "100.png": (100, 100, 100)})
    found = load(source, size=(4, 4), channels=3, cache=store)
    assert found.pixels[:, 0, 0, 0].tolist() == [250 if n == 5 else n for n in range(COUNT)]


def test_a_file_that_could_not_be_read_is_read_again(tmp_path, store, monkeypatch):
    source, honest = folder_of(tmp_path / "pictures"), picture_files.read_bytes

    def denied(listing, one):
        if one.name == "070.png":
            raise PermissionError(13, "Permission denied")
        return honest(listing, one)

    with monkeypatch.context() as patches:
        patches.setattr(picture_files, "read_bytes", denied)
        interrupted(source, store, 130)
    seen = stopping(monkeypatch, COUNT)
    assert len(load(source, size=(4, 4), channels=3, cache=store)) == COUNT - 1
    assert sum(seen) == COUNT - 64  # the first piece is whole


def test_a_killed_decoding_goes_on(tmp_path, store, monkeypatch):
    source = folder_of(tmp_path / "pictures")
    script = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from unnoise.data import load\n"
        "from unnoise.data.cache_building import Tally\n"
        "seen, add = [], Tally.add\n"
        "def deadly(tally, batch):\n"
        "    seen.append(1)\n"
        "    if len(seen) > 150: os.kill(os.getpid(), signal.SIGKILL)\n"
        "    add(tally, batch)\n"
        "Tally.add = deadly\n"
        "load(sys.argv[1], size=(4, 4), channels=3, cache=Path(sys.argv[2]))\n"
    )
    killed = subprocess.run([sys.executable, "-c", script, source, store], capture_output=True, check=False)
    assert killed.returncode == -9, killed.stderr
    seen = stopping(monkeypatch, COUNT)
    found = load(source, size=(4, 4), channels=3, cache=store)
    assert sum(seen) == COUNT - 128  # the pieces that were whole
    assert found.pixels[:, 0, 0, 0].tolist() == [n for n in range(COUNT) if n != 100]
    assert left_over(store) == []


def test_others_wait_for_the_one_that_decodes(tmp_path, store, monkeypatch):
    source, begun, go_on = folder_of(tmp_path / "pictures"), threading.Event(), threading.Event()
    decode, decoded, found = picture_files.decode, [], []

    def slow(data, settings, notes):
        begun.set()
        go_on.wait()
        decoded.append(1)
        return decode(data, settings, notes)

    monkeypatch.setattr(picture_files, "decode", slow)
    work = [threading.Thread(target=lambda: found.append(load(source, size=(4, 4), cache=store)))]
    work[0].start()
    begun.wait()
    work += [threading.Thread(target=lambda: found.append(load(source, size=(4, 4), cache=store)))]
    work[1].start()
    go_on.set()
    for each in work:
        each.join()
    assert same(*found)
    assert len(decoded) == COUNT  # by one of them, once; one of these is no picture


def test_file_systems_without_locks_are_decoded_into_as_well(tmp_path, store, monkeypatch):
    def unsupported(*_, **__):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(pieces.FileLock, "acquire", unsupported)
    assert len(load(folder_of(tmp_path / "pictures"), size=(4, 4), cache=store)) == COUNT - 1
    assert left_over(store) == []


def test_pieces_that_nobody_goes_on_with_are_removed_after_a_week(tmp_path, store):
    source = folder_of(tmp_path / "pictures")
    for size in (4, 5, 6):
        with pytest.MonkeyPatch.context() as patches:
            stopping(patches, 100, KeyboardInterrupt())
            with pytest.raises(KeyboardInterrupt):
                load(source, size=(size, size), channels=3, cache=store)
    old, *new = sorted(path for path in (store / "pieces").iterdir() if path.is_dir())
    os.utime(old / "journal.jsonl", (time.time() - 8 * 24 * 60 * 60,) * 2)
    load(source, size=(8, 8), channels=3, cache=store)
    assert sorted(path for path in (store / "pieces").iterdir() if path.is_dir()) == new


# --- where the cache cannot be written ----------------------------------------------------------------------


def unwritable(store: Path, monkeypatch) -> None:
    store.write_text("not a folder")


def full(store: Path, monkeypatch) -> None:
    monkeypatch.setattr(pieces.shutil, "disk_usage", lambda _: SimpleNamespace(free=10))


def over_quota(store: Path, monkeypatch) -> None:
    def refused(descriptor):
        raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))

    monkeypatch.setattr(pieces.os, "fsync", refused)


@pytest.mark.parametrize("processes", [1, 4])
@pytest.mark.parametrize(
    ("fault", "reason"),
    [(unwritable, "Not a directory|File exists"), (full, "No space left"), (over_quota, "quota exceeded")],
)
def test_pictures_stay_in_memory_up_to_a_quarter_of_it(tmp_path, store, monkeypatch, fault, reason, processes):
    """Of that of the machine, by all of its processes together."""
    source = folder_of(tmp_path / "pictures")
    whole = load(source, size=(4, 4), channels=3, cache=tmp_path / "other")
    fault(store, monkeypatch)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", str(processes))
    needed = 4 * processes * COUNT * 4 * 4 * 3
    monkeypatch.setattr(limits, "total_memory", lambda: needed)
    with pytest.warns(UserWarning, match=reason):
        found = load(source, size=(4, 4), channels=3, cache=store)
    assert same(found, whole)
    monkeypatch.setattr(limits, "total_memory", lambda: needed - 1)
    told = f"{reason}.* In memory 200 decoded pictures would take .* GB.*UNNOISE_CACHE"
    with pytest.raises(UnnoiseError, match=told) as refused:
        load(source, size=(4, 4), channels=3, cache=store)
    assert ("for each of 4 processes" in str(refused.value)) == (processes == 4)
    assert "\n" not in str(refused.value)
    assert left_over(store) == [] if store.is_dir() else True


def test_the_memory_of_a_container_is_what_it_may_use(tmp_path, monkeypatch):
    whole = limits.total_memory()
    for text, expected in [("1000000\n", 1_000_000), ("max\n", whole), (f"{10**18}\n", whole)]:
        (tmp_path / "memory.max").write_text(text)
        monkeypatch.setattr(limits, "CONTAINER_LIMIT", tmp_path / "memory.max")
        assert limits.total_memory() == expected


def test_arrays_are_read_from_the_picture_that_was_next(tmp_path):
    values = np.arange(700 * 4, dtype=np.uint16).reshape(700, 2, 2)
    np.save(tmp_path / "x.npy", values)
    source = array_source.array_file_source("x", tmp_path / "x.npy")
    later = list(source.batches(None, 256))
    assert [batch.digest for batch in later] == [batch.digest for batch in source.batches(None)][1:]
