"""Cache of decoded pictures: reuse, rebuilding of damaged entries, and folders that cannot be written."""

import errno
import json
import os
import shutil
import threading
import time
from contextlib import contextmanager
from functools import partial
from hashlib import blake2b
from pathlib import Path

import numpy as np
import pytest

from helpers.data_files import file_bytes, plain, save_many
from unnoise.data import cache, cache_building, load, progress
from unnoise.data.cache import default_cache
from unnoise.data.sources import picture_files as files

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


@pytest.fixture
def folder(tmp_path):
    return save_many(tmp_path / "pictures", {"a.png": RED, "b.png": GREEN})


@pytest.fixture
def store(tmp_path):
    return tmp_path / "store"


@pytest.fixture
def no_decoding(monkeypatch):
    def forbid():
        def decode(data, settings):
            raise AssertionError("decoded again")

        monkeypatch.setattr(files, "decode", decode)

    return forbid


@pytest.fixture
def no_reading(monkeypatch):
    def forbid():
        def read(*_):
            raise AssertionError("read again")

        monkeypatch.setattr(files, "read_bytes", read)
        monkeypatch.setattr(files, "read_header", read)

    return forbid


def entry(store: Path) -> Path:
    (only,) = (store / "images").iterdir()
    return only


def test_a_second_start_reads_nothing(folder, store, no_reading):
    (folder / "bad.png").write_text("text")
    first = load(folder, cache=store)
    no_reading()
    second = load(folder, cache=store)
    assert isinstance(second.pixels, np.memmap)
    assert (second.pixels == first.pixels).all()
    assert (second.fingerprint, second.skipped) == (first.fingerprint, first.skipped)
    # The settings that were settled on find the same entry as those that were left open.
    assert load(folder, size=(4, 4), channels=3, cache=store).fingerprint == first.fingerprint


def test_changed_dates_are_checked_against_the_bytes_without_decoding(folder, store, no_decoding, no_reading):
    first = load(folder, cache=store)
    for path in folder.iterdir():
        os.utime(path, (1, 1))
    no_decoding()
    assert load(folder, cache=store).fingerprint == first.fingerprint
    no_reading()
    assert load(folder, cache=store).fingerprint == first.fingerprint


def test_the_keys_of_the_cache_stay_the_same(tmp_path, store):
    """Caches of earlier versions stay valid: the key is a hash of identity and settings in this form."""
    path = tmp_path / "x.npy"
    np.save(path, np.zeros((3, 8, 8), np.uint8))
    load(path, size=(4, 4), channels=1, cache=store)
    settings = "Settings(size=(4, 4), channels=1, fit='crop', background=(255, 255, 255))"
    name = f"array\0{path.stat().st_size}1 False {settings}".encode()
    assert (store / "lists" / f"{blake2b(name, digest_size=16).hexdigest()}.json").is_file()


def test_a_moved_folder_is_recognised(folder, store, no_decoding):
    first = load(folder, cache=store)
    no_decoding()
    moved = folder.rename(folder.with_name("moved"))
    assert load(moved, cache=store).fingerprint == first.fingerprint


def test_changed_content_is_read_again(folder, store):
    path = folder / "b.bmp"
    (folder / "b.png").unlink()
    path.write_bytes(file_bytes(plain(GREEN), "BMP"))
    first = load(folder, cache=store)
    data = file_bytes(plain(BLUE), "BMP")
    assert len(data) == path.stat().st_size  # the dates alone tell
    path.write_bytes(data)
    os.utime(path, (1, 1))
    second = load(folder, cache=store)
    assert second.fingerprint != first.fingerprint
    assert second.pixels[1, 0, 0].tolist() == list(BLUE)
    path.unlink()
    assert len(load(folder, cache=store)) == 1


def test_the_fingerprint_depends_on_pixels_and_not_on_file_names(folder, store, tmp_path):
    first = load(folder, cache=store)
    other = save_many(tmp_path / "other", {"x.bmp": RED, "y.bmp": GREEN})
    assert load(other, cache=store).fingerprint == first.fingerprint
    swapped = save_many(tmp_path / "swapped", {"x.png": GREEN, "y.png": RED})
    assert load(swapped, cache=store).fingerprint != first.fingerprint
    assert load(folder, size=(2, 8), cache=store).fingerprint != first.fingerprint
    assert load(folder, channels=1, cache=store).fingerprint != first.fingerprint


def test_each_choice_of_settings_has_its_own_entry(store, tmp_path):
    folder = save_many(tmp_path / "wide", {"a.png": RED}, size=(8, 4))
    cropped = load(folder, size=(4, 4), cache=store)
    padded = load(folder, size=(4, 4), fit="pad", cache=store)
    black = load(folder, size=(4, 4), fit="pad", background=(0, 0, 0), cache=store)
    assert [int(one.pixels[0, 0, 0].sum()) for one in (cropped, padded, black)] == [255, 765, 0]


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-5])


def other_shape(path: Path) -> None:
    np.save(path, np.zeros((2, 3, 4, 3), np.uint8))


def other_type(path: Path) -> None:
    np.save(path, np.zeros((2, 4, 4, 3), np.float32))


def empty(path: Path) -> None:
    path.write_bytes(b"")


def wrong_about(path: Path) -> None:
    path.write_text(json.dumps([1, 2, 3]))


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        *[("pixels.npy", damage) for damage in (truncate, other_shape, other_type, empty, Path.unlink)],
        *[("about.json", damage) for damage in (truncate, wrong_about, empty, Path.unlink)],
    ],
)
def test_a_damaged_entry_is_built_again(folder, store, name, damage):
    first = load(folder, cache=store)
    expected = first.pixels.copy()
    path = entry(store) / name
    fresh = path.read_bytes()
    path.unlink()  # the mapped file itself must not shrink under `first`
    path.write_bytes(fresh)
    damage(path)
    again = load(folder, cache=store)
    assert (again.pixels == expected).all()
    assert path.read_bytes() == fresh


@pytest.mark.parametrize("text", ["", "[]", '{"files": 1}', '{"files": "", "content": "../..", "skipped": []}'])
def test_a_damaged_record_is_replaced(folder, store, text):
    first = load(folder, cache=store)
    for path in (store / "lists").iterdir():
        path.write_text(text)
    assert load(folder, cache=store).fingerprint == first.fingerprint


def test_a_missing_entry_is_built_again(folder, store):
    first = load(folder, cache=store).fingerprint
    shutil.rmtree(store / "images")
    assert load(folder, cache=store).fingerprint == first


def test_an_unwritable_cache_warns_and_keeps_pictures_in_memory(folder, store):
    first = load(folder, cache=store)
    blocked = store.with_name("a-file")
    blocked.write_text("not a folder")
    with pytest.warns(UserWarning, match="Cannot write the cache") as caught:
        images = load(folder, cache=blocked)
    assert len(caught) == 1
    assert images.fingerprint == first.fingerprint
    assert (images.pixels == first.pixels).all()


def test_a_full_disk_warns_and_leaves_no_file(folder, store, monkeypatch):
    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(cache_building.os, "fsync", full)
    with pytest.warns(UserWarning, match="No space left"):
        assert len(load(folder, cache=store)) == 2
    assert [path for path in store.rglob("*") if path.is_file()] == []


def test_an_interruption_leaves_no_file_and_no_thread(folder, store, monkeypatch):
    def interrupt(data, settings, notes):
        raise KeyboardInterrupt

    monkeypatch.setattr(files, "decode", interrupt)
    with pytest.raises(KeyboardInterrupt):
        load(folder, cache=store)
    assert [path for path in store.rglob("*") if path.is_file()] == []
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("unnoise-data")]


def test_temporary_files_of_killed_processes_are_removed_after_a_day(folder, store):
    (store / "images").mkdir(parents=True)
    old, new = store / "images" / "tmp-1-old", store / "images" / "tmp-2-new"
    old.write_text("")
    new.write_text("")
    os.utime(old, (time.time() - 10**6,) * 2)
    load(folder, cache=store)
    assert not old.exists()
    assert new.exists()


def test_several_threads_may_build_the_same_entry(tmp_path, store):
    folder = save_many(tmp_path / "many", {f"{n:02}.png": (n, n, n) for n in range(40)})
    found, start = [], threading.Barrier(4)

    def build():
        start.wait()
        found.append(load(folder, size=(16, 16), cache=store))

    threads = [threading.Thread(target=build) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({images.fingerprint for images in found}) == 1
    for images in found:
        assert images.pixels[:, 0, 0, 0].tolist() == list(range(40))
    assert not list(store.rglob("tmp-*"))


def test_a_file_that_could_not_be_read_is_tried_again(folder, store, monkeypatch):
    honest = files.read_bytes

    def denied(listing, one):
        if one.name == "a.png":
            raise PermissionError(13, "Permission denied")
        return honest(listing, one)

    with monkeypatch.context() as patch:
        patch.setattr(files, "read_bytes", denied)
        assert [one.reason for one in load(folder, cache=store).skipped] == [
            "permission denied: change its permissions to use it"
        ]
    assert len(load(folder, cache=store)) == 2


def test_progress_is_shown_on_a_terminal_at_stderr(folder, store, capsys, monkeypatch):
    load(folder, size=(3, 3), cache=store, progress=True)
    assert capsys.readouterr().err == ""  # no terminal
    monkeypatch.setattr(progress, "Console", partial(progress.Console, force_terminal=True))
    load(folder, cache=store, progress=True)
    out, err = capsys.readouterr()
    assert out == ""
    assert "Looking at pictures" in err
    assert "Reading pictures" in err
    load(folder, size=(2, 2), cache=store)
    assert capsys.readouterr().err == ""


def test_the_cache_folder_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("UNNOISE_CACHE", "~/own")
    assert default_cache() == Path.home() / "own"
    monkeypatch.setenv("UNNOISE_CACHE", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_cache() == tmp_path / "unnoise"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert default_cache() == Path.home() / ".cache" / "unnoise"


def test_an_entry_that_cannot_be_read_back_warns_and_keeps_pictures_in_memory(folder, store, monkeypatch):
    @contextmanager
    def lost(path):
        yield path.with_name("elsewhere.npy")

    monkeypatch.setattr(cache, "atomic_write", lost)
    with pytest.warns(UserWarning, match="read back"):
        assert len(load(folder, cache=store)) == 2
