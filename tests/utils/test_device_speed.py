"""Device speed: peak speed, counted operations, and seconds by kind of operator."""

import pytest
import torch

from unnoise.networks.normed_silu import normed_silu
from unnoise.networks.resampling import Upsample2D
from unnoise.utils import device_speed


def test_seconds_are_counted_by_kind_of_operator():
    left, images, weights = torch.ones(600, 600), torch.ones(8, 64, 32, 32), torch.ones(64, 64, 3, 3)
    found = device_speed.seconds_by_kind(lambda: torch.mm(left, left))
    assert max(found, key=found.get) == "dense layers and attention"
    found = device_speed.seconds_by_kind(lambda: torch.conv2d(images, weights))
    assert max(found, key=found.get) == "convolutions"
    layer, images = Upsample2D(64), images.to(memory_format=torch.channels_last)
    found = device_speed.seconds_by_kind(lambda: layer(images))
    assert max(found, key=found.get) == "convolutions"
    output = layer(images).sum()
    found = device_speed.seconds_by_kind(lambda: output.backward(retain_graph=True))
    assert max(found, key=found.get) == "convolutions, backward"


@pytest.mark.parametrize(
    ("event", "kind"),
    [
        ("aten::add_", "activations and sums"),
        ("aten::_scaled_dot_product_flash_attention_for_cpu_backward", "dense layers and attention"),
        ("aten::native_group_norm_backward", "norms"),
        ("Optimizer.step#AdamW.step", "optimiser and average"),
        ("aten::_fused_adamw_", "optimiser and average"),
        ("aten::view", "rest"),
    ],
)
def test_an_operator_has_its_kind_in_place_backward_and_on_any_device(event, kind):
    assert device_speed.operator_kind(event) == kind


def test_operations_of_a_matrix_product_are_counted():
    left = torch.randn(8, 16)
    assert device_speed.count_flops(lambda: torch.mm(left, left.T)) == 2 * 8 * 16 * 8


def test_the_parts_of_a_fused_norm_count_as_norms():
    """Forward and backward: its products and copies are no activations and copies of the network's own."""
    norm, images = torch.nn.GroupNorm(4, 16), torch.randn(8, 16, 32, 32).bfloat16().requires_grad_()
    found = device_speed.seconds_by_kind(lambda: torch.autograd.grad(normed_silu(norm, images).sum(), images))
    assert found["norms"] > 0.5 * sum(found.values())
