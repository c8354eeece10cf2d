"""Tests of the benchmark of training speed: same networks, each timed in a process of its own."""

import pytest
import torch

from benchmarks import training_pairs, training_speed


def pair() -> training_pairs.Pair:
    left = torch.ones(64, 64)
    return training_pairs.Pair("products", 1, lambda: left @ left, lambda: left + left, 0.0)


def test_each_process_times_the_steps_of_its_own_library():
    found = training_speed.measure("products", pair, threads=1, turns=1, count=2)
    assert min(found.ours, found.theirs) > 0
    mine, its = found.kernels
    assert mine["dense layers and attention"] > 0 == its["dense layers and attention"]
    assert its["activations and sums"] > 0 == mine["activations and sums"]


def test_weights_of_another_network_are_refused():
    like = {"stem.weight": torch.zeros(3)}
    assert training_pairs.renamed({"init_conv.weight": torch.ones(3)}, like)["stem.weight"].sum() == 3
    for name, size in (("init_conv.weight", 2), ("other", 3)):
        with pytest.raises(RuntimeError, match="has no parameter"):
            training_pairs.renamed({name: torch.ones(size)}, like)


def test_networks_that_differ_are_not_timed():
    class Twice(torch.nn.Module):
        def forward(self, images, _conditions):
            return 2 * images

    assert training_pairs.difference(Twice(), lambda images, _: images + images) == 0
    with pytest.raises(RuntimeError, match="not the same"):
        training_pairs.difference(Twice(), lambda images, _: images)
