"""Batch k depends on the seed and k alone, and every picture comes once an epoch."""

from collections import Counter

import numpy as np
import pytest
import torch

from unnoise.batches import Batches, held_out_count, split
from unnoise.errors import UnnoiseError


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
def test_every_picture_once_an_epoch(batch_size):
    batches = Batches(Numbered(20), np.arange(20), batch_size, seed=1)
    stream = [number for step in range(20) for number in numbers(batches[step])]
    epochs = [stream[i : i + 20] for i in range(0, len(stream) - 19, 20)]
    assert len(epochs) == batch_size
    assert all(Counter(epoch) == Counter(range(20)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == batch_size


def test_a_batch_depends_on_nothing_that_came_before():
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
    with pytest.raises(UnnoiseError, match="share every batch evenly"):
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


def test_how_many_are_held_out():
    assert [held_out_count(count) for count in (1, 39, 40, 1797, 60_000)] == [0, 0, 2, 89, 1000]
    with pytest.raises(UnnoiseError, match="at most 4"):
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
