"""Tests of the benchmark of loading: every way loads every picture, and the table compares them."""

from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import loading
from benchmarks.random_pictures import png_folder
from unnoise.data import load


@pytest.fixture
def pictures(tmp_path) -> Path:
    return png_folder(tmp_path / "pictures", 70)


def test_each_way_of_loading_takes_every_picture_once(pictures, tmp_path, monkeypatch):
    taken = []

    def spy(batches):
        taken.append(torch.cat(list(batches)))
        return 1.0

    monkeypatch.setattr(loading, "seconds_of", spy)
    cache = tmp_path / "cache"
    ways = [loading.from_files(pictures, tmp_path), loading.from_cache(pictures, cache)]
    for way in ways:
        assert way.take() > 1
    sums = np.sort(load(pictures, cache=cache).pixels.reshape(70, -1).sum(1, dtype=np.int64))
    for batch in taken:
        first = (
            batch[:70].flatten(1).long().sum(1).numpy()
        )  # the second batch of 64 reaches into the next epoch
        assert (np.sort(first) == sums).all()


@pytest.mark.skipif(not Path("/proc/self/io").exists(), reason="only Linux says what was read")
def test_a_cold_cache_is_read_from_the_disk_again(pictures, tmp_path):
    cold = loading.ColdCache(pictures, tmp_path / "cache")
    assert cold.take() > 0
    assert len(cold.bytes_read) == 1
    cold.bytes_read = [cold.images.pixels.nbytes // 2]
    assert not cold.was_cold
    assert "left out" in loading.disk_note(cold)
    cold.bytes_read = [2 * cold.images.pixels.nbytes]
    assert "2.0 times the bytes" in loading.disk_note(cold)


def test_a_batch_of_another_type_is_not_timed():
    with pytest.raises(RuntimeError, match=r"not torch\.float32"):
        loading.seconds_of([torch.zeros(2, 3, 64, 64)])


def test_the_table_compares_each_way_with_training():
    ways = [loading.Way("ours", False, lambda: 0.0), loading.Way("theirs", True, lambda: 0.0)]
    seconds = {"ours": 1.0, "theirs": 5.0, loading.STEP: 3.2}  # training takes 20 pictures a second
    text = loading.speeds(ways, seconds, 6400)
    assert "| ours | no | 6,400 | 100.0 | 320 |" in text
    assert "| theirs | yes | 1,280 | 20.0 | 64 |" in text
    assert "| training with the default preset |  | 20.0 | 0.3 | 1 |" in text
