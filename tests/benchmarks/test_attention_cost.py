"""Tests of fitted power laws, and of the cost of attention."""

import pytest
import torch

from benchmarks import attention_cost, power_law


def test_the_slope_of_a_power_law_is_its_power():
    law = power_law.fit({n: 3e-6 * n**1.75 for n in (1024, 2304, 4096)})
    assert law.slope == pytest.approx(1.75, abs=1e-12)
    assert law.at(9216) == pytest.approx(3e-6 * 9216**1.75, rel=1e-9)


def test_slopes_are_fitted_to_the_larger_sizes_only():
    times = {side: {"linear": 1 + side**2, "full": 7.0} for side in (8, 16)}
    times |= {side: {"linear": 2.0 * side**2, "full": 5.0 * side**4} for side in (32, 48, 64)}
    linear, full = attention_cost.power_laws(times).values()
    assert (linear.slope, full.slope) == (pytest.approx(1), pytest.approx(2))
    assert attention_cost.column(times, "linear", 48) == {48**2: 2.0 * 48**2, 64**2: 2.0 * 64**2}
    assert attention_cost.column(times, "full, scores written out") == {}
    tables = attention_cost.tables(times)
    assert "| linear | (H W)^1.00 |\n| full | (H W)^2.00 |" in tables["growth"]
    assert f"| {5 * 64**2 / 2:.1f} | 512.0 |" in tables["times"]


def test_each_layer_is_timed_and_both_kernels_give_the_same_gradients():
    times = attention_cost.measure(4, 1)
    assert set(times) == {"linear", "full", "full, scores written out"}
    assert min(times.values()) > 0
    layers = attention_cost.layers_of(4)
    images = torch.randn(2, 64, 4, 4).to(memory_format=torch.channels_last).requires_grad_()
    fused, written_out = (layers[name](images)[0] for name in ("full", "full, scores written out"))
    torch.testing.assert_close(fused, written_out, atol=1e-5, rtol=1e-5)
