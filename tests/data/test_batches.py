"""Training batches: order, epochs, flips, processes, held-out pictures, and prefetching."""

import threading
from collections import Counter

import numpy as np
import pytest
import torch

from unnoise.data import load
from unnoise.data.batches import Batches, Prefetcher, held_out_count, split
from unnoise.runs.config import Budget
from unnoise.runs.plan import TrainOptions, plan
from unnoise.trainer import loop as training
from unnoise.utils.errors import UnnoiseError


class Numbered:
    """Pictures whose only two pixels say which they are."""

    def __init__(self, count, labels=None):
        self.count = count
        self.labels = labels

    def __len__(self):
        return self.count

    def take(self, indices):
        values = torch.as_tensor(np.asarray(indices), dtype=torch.uint8).view(-1, 1, 1, 1)
        return torch.cat([values, torch.full_like(values, 255)], dim=-1)


def numbers(batch):
    return batch.amin(dim=(1, 2, 3)).tolist()


@pytest.mark.row("D1", "D2")
@pytest.mark.parametrize("batch_size", [4, 7, 32])
def test_every_picture_comes_once_an_epoch(batch_size):
    batches = Batches(Numbered(20), np.arange(20), batch_size, seed=1)
    stream = [number for step in range(20) for number in numbers(batches[step])]
    epochs = [stream[i : i + 20] for i in range(0, len(stream) - 19, 20)]
    assert len(epochs) == batch_size
    assert all(Counter(epoch) == Counter(range(20)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == batch_size


def test_a_batch_depends_on_the_seed_and_its_number_alone():
    batches = Batches(Numbered(50), np.arange(50), 8, seed=3, flip=True)
    forwards = [batches[step] for step in range(30)]
    fresh = Batches(Numbered(50), np.arange(50), 8, seed=3, flip=True)
    for step in (29, 3, 17):
        assert torch.equal(fresh[step], forwards[step])
    assert not torch.equal(Batches(Numbered(50), np.arange(50), 8, seed=4, flip=True)[0], forwards[0])


@pytest.mark.row("D5")
def test_flips_mirror_half_of_the_pictures():
    pictures = Batches(Numbered(100), np.arange(100), 100, seed=0, flip=True)
    flipped = sum(int((pictures[step][..., 0] == 255).sum()) for step in range(20))
    assert 900 < flipped < 1100
    plain = Batches(Numbered(100), np.arange(100), 100, seed=0)
    assert not (plain[0][..., 0] == 255).any()


@pytest.mark.parametrize("processes", [2, 4])
def test_processes_share_the_same_batch(processes):
    whole = Batches(Numbered(30), np.arange(30), 8, seed=5, flip=True)
    parts = [
        Batches(Numbered(30), np.arange(30), 8, seed=5, flip=True, rank=rank, processes=processes)
        for rank in range(processes)
    ]
    for step in range(6):
        assert torch.equal(torch.cat([part[step] for part in parts]), whole[step])
    with pytest.raises(UnnoiseError, match="cannot share batches of 9 evenly"):
        Batches(Numbered(30), np.arange(30), 9, seed=5, processes=2)


@pytest.mark.row("D2")
def test_held_out_pictures_are_never_trained_on():
    parts = split(100, 20, seed=2)
    assert len(parts.training) == 80
    assert len(parts.held_out) == 20
    assert sorted([*parts.training, *parts.held_out]) == list(range(100))
    assert not np.array_equal(parts.held_out, split(100, 20, seed=3).held_out)
    batches = Batches(Numbered(100), parts.training, 16, seed=2)
    seen = {number for step in range(30) for number in numbers(batches[step])}
    assert seen == set(parts.training.tolist())


def test_one_in_20_is_held_out_and_at_most_1000():
    assert [held_out_count(count) for count in (1, 39, 40, 1797, 60_000)] == [0, 0, 2, 89, 1000]
    with pytest.raises(UnnoiseError, match="Hold out from 0 to 4"):
        split(5, 5, 0)


def test_classes_come_with_their_pictures():
    labels = np.random.default_rng(0).integers(0, 10, 50)
    indices = split(50, 10, seed=2).training
    whole = Batches(Numbered(50, labels), indices, 8, seed=5, flip=True)
    parts = [Batches(Numbered(50, labels), indices, 8, seed=5, rank=rank, processes=2) for rank in (0, 1)]
    for step in range(12):
        classes = whole.classes(step)
        assert classes.dtype == torch.int64
        assert classes.tolist() == labels[numbers(whole[step])].tolist()
        assert torch.equal(torch.cat([part.classes(step) for part in parts]), classes)
    assert Batches(Numbered(50), indices, 8, seed=5).classes(3) is None


# --- prefetching ---------------------------------------------------------------------------------------------


class Watched(Numbered):
    """Pictures that record which thread took each batch; the fourth batch cannot be read."""

    def __init__(self):
        super().__init__(40, labels=np.arange(40) % 3)
        self.taken = {}
        self.second = threading.Event()

    def take(self, indices):
        self.taken[len(self.taken)] = threading.current_thread().name
        if len(self.taken) == 2:
            self.second.set()
        if len(self.taken) == 4:
            raise OSError("the disk is gone")
        return super().take(indices)


def threads():
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("unnoise-batches")]


@pytest.mark.parametrize("device", ["cpu", "mps"])
def test_prefetched_batches_equal_the_batches(device):
    batches = Batches(Numbered(50, labels=np.arange(50) % 3), np.arange(50), 8, seed=3, flip=True)
    with Prefetcher(batches, torch.device(device)) as prefetched:
        for step in (0, 1, 2, 3, 9, 10, 4, 5, 20):  # onwards, and after going back
            pictures, classes = prefetched(step)
            assert torch.equal(pictures, batches[step])
            assert torch.equal(classes, batches.classes(step))
    assert threads() == []


def test_a_thread_prepares_the_next_batch():
    watched = Watched()
    with Prefetcher(Batches(watched, np.arange(40), 4, seed=0), torch.device("mps")) as prefetched:
        prefetched(0)
        assert len(threads()) == 1
        watched.second.wait()
        assert all(name.startswith("unnoise-batches") for name in watched.taken.values())
    assert threads() == []


def test_on_the_cpu_nothing_is_prefetched():
    watched = Watched()
    with Prefetcher(Batches(watched, np.arange(40), 4, seed=0), torch.device("cpu")) as prefetched:
        prefetched(0)
        assert watched.taken == {0: threading.current_thread().name}
        assert threads() == []


@pytest.mark.parametrize("device", ["cpu", "mps"])
def test_an_error_is_raised_when_its_batch_is_asked_for(device):
    with Prefetcher(Batches(Watched(), np.arange(40), 4, seed=0), torch.device(device)) as prefetched:
        for step in range(3):
            prefetched(step)
        with pytest.raises(OSError, match="the disk is gone"):
            prefetched(3)
    assert threads() == []


def test_closing_the_training_loop_early_leaves_no_thread(monkeypatch):
    monkeypatch.setattr(training, "Prefetcher", lambda batches, _: Prefetcher(batches, torch.device("mps")))
    images = load("digits")
    config = plan(images, TrainOptions(batch_size=4, budget=Budget(unit="steps", amount=9)))
    loop = training.steps(config.build(), Batches(images, np.arange(40), 4, seed=0), config.budget)
    assert [next(loop).progress.step for _ in range(2)] == [1, 2]
    assert len(threads()) == 1
    loop.close()
    assert threads() == []
