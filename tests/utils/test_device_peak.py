"""Peak speed of a device: the fastest of its operations, told by name."""

from itertools import count

import pytest
import torch

from unnoise.utils.device_peak import device_peak
from unnoise.utils.precision import bfloat16_is_fast


def test_the_peak_is_that_of_the_operation_with_the_highest_speed():
    """A clock on which each operation takes a second: the largest is the fastest."""
    clock = count()
    peak = device_peak(repetitions=1, clock=lambda: float(next(clock)))
    assert peak.operation == "a 3x3 convolution of 512 channels"
    assert peak.gflops == pytest.approx(2 * 9 * 512**2 * 8 * 8 * 16 / 1e9)


def test_a_slow_operation_is_not_repeated():
    ticks, calls = count(), []

    def clock() -> float:
        calls.append(next(ticks))
        return float(sum(1e-3 if call < 8 else 1.0 for call in calls))

    device_peak(repetitions=3, clock=clock)
    assert len(calls) == 2 * 4 + 2 * 7  # four calls of the first operation, and one of each other


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_peak_is_no_less_than_a_product_and_leaves_the_random_state_alone(dtype):
    if dtype == torch.bfloat16 and not bfloat16_is_fast():
        pytest.skip("bfloat16 takes minutes on this processor")
    before = torch.random.get_rng_state()
    assert device_peak(dtype=dtype, repetitions=1).gflops > 0
    assert torch.equal(torch.random.get_rng_state(), before)
