"""The pages about starting, loading and running costs say what was measured, and what it adds up to."""

from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import loading, running_costs
from benchmarks.data_memory import folder_of_pictures
from unnoise.data import load

COSTS = running_costs.Costs(
    step=0.2,
    unguarded=0.199,
    unaveraged=0.198,
    log=0.001,
    save=0.05,
    store=0.05,
    look=1.0,
    last_look=3.0,
    chart=0.1,
    guard=0.001,
    stores=8,
)


# --- running costs -------------------------------------------------------------------------------------------


def test_a_run_saves_each_tenth_of_its_time_and_looks_when_it_has_earned_it():
    assert COSTS.counts == (9, 5)  # saved each minute; 1.1 s are an eightieth of 88 s, so each second time
    cheap = COSTS._replace(look=0.1)
    assert cheap.counts == (9, 9)
    assert COSTS._replace(look=50.0).counts[1] == 1


def test_the_sum_is_the_sum():
    rows = {name: part for name, part, _ in COSTS.rows}
    assert rows["checkpoints, with history.csv"] == pytest.approx(10 * 0.05 / 600)
    assert rows["held-out loss and sample sheets"] == pytest.approx((5 * 1.0 + 3.0) / 600)
    assert rows["loss.png"] == pytest.approx(6 * 0.1 / 600)
    text = "\n".join(running_costs.page(COSTS, "pictures"))
    together = sum(rows.values())
    assert f"| **all of these together** | {together:+.2%} |" in text
    everything = together + sum(part for _, part, _ in COSTS.watching)
    assert f"{everything:.1%} with all that watches" in text


def test_costs_are_measured(tmp_path):
    ticks = iter(range(10**6))
    found = running_costs.costs(tmp_path / "run", load("digits"), 1, 1, lambda: float(next(ticks)))
    assert all(seconds == 1 for seconds in found[:-1])
    assert found.stores == 8


# --- loading -------------------------------------------------------------------------------------------------


@pytest.fixture
def pictures(tmp_path) -> Path:
    return folder_of_pictures(tmp_path / "pictures", 70)


def test_each_way_takes_every_picture_once(pictures, tmp_path, monkeypatch):
    taken = []

    def spy(batches):
        taken.append(torch.cat(list(batches)))
        return 1.0

    monkeypatch.setattr(loading, "timed", spy)
    cache = tmp_path / "cache"
    ways = [loading.from_files(pictures, tmp_path), loading.from_cache(pictures, cache)]
    for way in ways:
        assert way.take() > 1
    sums = np.sort(load(pictures, cache=cache).pixels.reshape(70, -1).sum(1, dtype=np.int64))
    for batch in taken:
        first = batch[:70].flatten(1).long().sum(1).numpy()  # two batches of 64: the second epoch has begun
        assert (np.sort(first) == sums).all()


@pytest.mark.skipif(not Path("/proc/self/io").exists(), reason="elsewhere nobody tells what was read")
def test_on_a_bare_disk_each_batch_is_read_anew(pictures, tmp_path):
    bare = loading.BareDisk(pictures, tmp_path / "cache")
    assert bare.take() > 0
    assert len(bare.read) == 1
    bare.read = [bare.images.pixels.nbytes // 2]
    assert not bare.really
    assert "left out" in loading.told(bare)
    bare.read = [2 * bare.images.pixels.nbytes]
    assert "2.0 times the bytes" in loading.told(bare)


def test_a_batch_that_is_not_what_was_agreed_on_is_not_timed():
    with pytest.raises(RuntimeError, match=r"not torch\.float32"):
        loading.timed([torch.zeros(2, 3, 64, 64)])


def test_the_page_about_loading():
    ways = [
        loading.Way("ours", False, lambda: 0.0, ours=True),
        loading.Way("new", True, lambda: 0.0, ours=True),
        loading.Way("theirs", True, lambda: 0.0),
    ]
    seconds = {"ours": 1.0, "new": 10.0, "theirs": 5.0}
    text = "\n".join(loading.page(ways, seconds, 6400, 3.2, "cpu"))  # training takes 20 pictures a second
    assert "| ours | no | 6,400 | 100.0 | 320 |" in text
    assert "| theirs | yes | 1,280 | 20.0 | 64 |" in text
    assert "delivers 32 to 320 times" in text
    assert "at least 20 times" in text
    assert "less than 20 times" in "\n".join(loading.page(ways, seconds, 6400, 0.1, "cpu"))
