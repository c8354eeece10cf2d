"""Networks that do not fit into memory are refused before they are built."""

import pytest
import torch

from unnoise.networks import UNetConfig, build, limits
from unnoise.utils.errors import UnnoiseError


def test_counting_parameters_first_changes_neither_weights_nor_random_state(monkeypatch):
    config = UNetConfig(channels=1, widths=(96, 128), attention=(False, False))
    monkeypatch.setattr(limits, "UNCHECKED_PARAMETERS", 0)
    monkeypatch.setattr(limits, "total_memory", lambda: 10**12)
    torch.manual_seed(0)
    first, after = build(config).state_dict(), torch.random.get_rng_state()
    monkeypatch.setattr(limits, "total_memory", lambda: None)
    torch.manual_seed(0)
    second = build(config).state_dict()
    assert all(torch.equal(first[name], second[name]) for name in second)
    assert torch.equal(torch.random.get_rng_state(), after)


def test_a_network_is_refused_where_one_byte_of_memory_is_missing(monkeypatch):
    config = UNetConfig(channels=1, widths=(96, 128), attention=(False, False))
    monkeypatch.setattr(limits, "UNCHECKED_PARAMETERS", 0)
    needed = 8 * sum(parameter.numel() for parameter in build(config).parameters())
    monkeypatch.setattr(limits, "total_memory", lambda: needed)
    build(config)
    monkeypatch.setattr(limits, "total_memory", lambda: needed - 1)
    with pytest.raises(UnnoiseError, match=f"has {needed // 8:,} parameters"):
        build(config)


def test_total_memory_is_unknown_without_sysconf(monkeypatch):
    assert limits.total_memory() > 2**28
    monkeypatch.delattr(limits.os, "sysconf")
    assert limits.total_memory() is None
