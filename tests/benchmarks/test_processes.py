"""Tests of measurements in fresh processes."""

import sys

import numpy as np
import pytest

from benchmarks import processes


def test_the_peak_of_a_process_is_not_that_of_its_parent():
    held = np.ones(50_000_000)  # 400 MB
    assert processes.own_peak() > held.nbytes / 2**20
    bare = processes.peak_of([sys.executable, "-S", "-c", "pass"])
    more = processes.peak_of([sys.executable, "-S", "-c", "x = bytearray(100 * 2**20)"])
    assert bare < 100
    assert more - bare == pytest.approx(100, abs=10)
    with pytest.raises(RuntimeError, match="failed with exit code 3"):
        processes.peak_of([sys.executable, "-c", "raise SystemExit(3)"])


def test_a_function_is_called_in_a_fresh_process_with_its_arguments_and_settings():
    call = processes.in_fresh_process
    assert call("json:loads", '{"a": 1.5}') == {"a": 1.5}
    assert call("os:getenv", "UNNOISE_TEST", settings={"UNNOISE_TEST": "7"}) == "7"
    with pytest.raises(
        RuntimeError, match=r"benchmarks\.nothing:f failed .* No module named 'benchmarks\.nothing'"
    ):
        call("benchmarks.nothing:f")
