"""Cores that a process may use, and the threads that PyTorch gets for them."""

import os

import pytest
import torch

from unnoise.utils import processors
from unnoise.utils.processors import usable_cores, use_own_cores


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine of 64 cores, whose container has the quota that is written into a file."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)), raising=False)
    monkeypatch.setattr(processors, "QUOTA", tmp_path / "cpu.max")
    return tmp_path / "cpu.max"


@pytest.mark.parametrize(
    ("quota", "cores"),
    [
        ("200000 100000", 2),
        ("150000 100000", 2),
        ("20000 100000", 1),
        ("9900000 100000", 64),
        ("max 100000", 64),
        ("", 64),
        ("many", 64),
        ("100000 0", 64),
        (None, 64),
    ],
)
def test_a_container_has_the_cores_of_its_quota(machine, quota, cores):
    if quota is not None:
        machine.write_text(quota)
    assert usable_cores() == cores


def test_pytorch_gets_no_more_threads_than_there_are_cores(machine, monkeypatch):
    given = []
    monkeypatch.setattr(torch, "get_num_threads", lambda: 32)
    monkeypatch.setattr(torch, "set_num_threads", given.append)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    machine.write_text("200000 100000")
    use_own_cores(torch.device("cpu"))
    machine.write_text("max 100000")
    use_own_cores(torch.device("cpu"))
    assert given == [2, 32]
    use_own_cores(torch.device("cuda"))
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    use_own_cores(torch.device("cpu"))
    assert given == [2, 32]
