"""The peaks of two libraries are compared as processes told them, and each trains alone."""

import gc
import json
import sys
import weakref

import pytest
import torch

from benchmarks import memory, memory_of_one
from benchmarks.training_pairs import Pair


def test_libraries_follow_one_another_and_the_middle_counts(monkeypatch):
    asked, peaks = [], {"ours": [300.0, 100.0, 110.0], "theirs": [200.0, 220.0, 900.0]}

    def told_by(module, name, side, *others):
        asked.append((name, side, *others))
        return {"peak": peaks[side].pop(0), "parameters": 1234567}

    monkeypatch.setattr(memory, "told_by", told_by)
    found = memory.measure(["diffusers"], 3, 5, "cpu", 2)
    assert asked == [("diffusers", side, "cpu", 5, 2) for side in ("ours", "theirs")] * 3
    assert found == [memory.Peaks("diffusers, UNet2DModel", 1234567, 110.0, 220.0)]
    text = "\n".join(memory.page(found, "anywhere"))
    assert "Training takes 0.50 times the memory of diffusers, for" in text
    assert "| diffusers, UNet2DModel | 1,234,567 | 110 | 220 | 0.50 |" in text


class Held:
    """Stands for a network, and says how often it was trained."""

    def __init__(self):
        self.steps = 0

    def step(self):
        self.steps += 1
        gc.collect()
        self.others = [name for name, ref in Held.alive.items() if ref() is not None]


@pytest.mark.parametrize("side", ["ours", "theirs"])
def test_the_other_network_is_let_go(monkeypatch, capsys, side):
    networks = []

    def build(device):
        assert device == "cpu"
        pair = {"ours": Held(), "theirs": Held()}
        Held.alive = {name: weakref.ref(one) for name, one in pair.items()}
        networks.append(weakref.ref(pair[side]))
        return Pair("fake", 7, pair["ours"].step, pair["theirs"].step, 0.0)

    seen = []
    monkeypatch.setattr(memory_of_one, "PAIRS", {"diffusers": build})
    monkeypatch.setattr(memory_of_one, "IMPORTED", {"diffusers": ()})
    monkeypatch.setattr(
        memory_of_one, "own_peak", lambda: seen.append(networks[-1]() if networks else None) or 50.0
    )
    monkeypatch.setattr(
        sys, "argv", ["memory_of_one", "diffusers", side, "cpu", "3", str(torch.get_num_threads())]
    )
    memory_of_one.main()
    assert json.loads(capsys.readouterr().out) == {"peak": 0.0, "parameters": 7}
    before, trained = seen
    assert before is None
    assert trained.steps == 3
    assert trained.others == [side]
