"""Tests of the benchmark of memory: medians of two libraries, each in a process of its own."""

import gc
import weakref

import pytest
import torch

from benchmarks import memory
from benchmarks.training_pairs import Pair


def test_libraries_take_turns_and_medians_count(monkeypatch):
    asked, peaks = [], {"ours": [300.0, 100.0, 110.0], "theirs": [200.0, 220.0, 900.0]}

    def in_fresh_process(function, name, side, *others):
        asked.append((name, side, *others))
        return {"peak": peaks[side].pop(0), "parameters": 1234567}

    monkeypatch.setattr(memory, "in_fresh_process", in_fresh_process)
    found = memory.measure(["diffusers"], 3, 5, "cpu", 2)
    assert asked == [("diffusers", side, "cpu", 5, 2) for side in ("ours", "theirs")] * 3
    assert found == [memory.Peaks("diffusers, UNet2DModel", 1234567, 110.0, 220.0)]
    text = memory.peak_table(found)
    assert "| diffusers, UNet2DModel | 1,234,567 | 110 | 220 | 0.50 |" in text


class Held:
    """Stands for a network, counts its steps, and sees which networks exist then."""

    def __init__(self):
        self.steps = 0

    def step(self):
        self.steps += 1
        gc.collect()
        self.others = [name for name, ref in Held.alive.items() if ref() is not None]


@pytest.mark.parametrize("side", ["ours", "theirs"])
def test_the_other_network_is_freed_before_training(monkeypatch, side):
    networks = []

    def build(device):
        assert device == "cpu"
        pair = {"ours": Held(), "theirs": Held()}
        Held.alive = {name: weakref.ref(one) for name, one in pair.items()}
        networks.append(weakref.ref(pair[side]))
        return Pair("fake", 7, pair["ours"].step, pair["theirs"].step, 0.0)

    seen = []
    monkeypatch.setattr(memory, "PAIRS", {"diffusers": build})
    monkeypatch.setattr(memory, "IMPORTS", {"diffusers": ()})
    monkeypatch.setattr(memory, "own_peak", lambda: seen.append(networks[-1]() if networks else None) or 50.0)
    found = memory.train("diffusers", side, "cpu", 3, torch.get_num_threads())
    assert found == {"peak": 0.0, "parameters": 7}
    before, trained = seen
    assert before is None
    assert trained.steps == 3
    assert trained.others == [side]
