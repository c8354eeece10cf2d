"""Full and linear attention equal their explicit formulas."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from unnoise.networks.attention import Attention, LinearAttention
from unnoise.networks.norms import RMSNorm

HEADS, DIM = 4, 32


def close(left, right, tolerance=1e-5):
    torch.testing.assert_close(left, right, atol=tolerance, rtol=tolerance)


def full(width: int = 12, memory_tokens: int = 0) -> Attention:
    norm = nn.GroupNorm(1, width)
    return Attention(width, HEADS, norm, head_dim=DIM, memory_tokens=memory_tokens, zero_start=False)


def linear(width: int = 12, memory_tokens: int = 0) -> LinearAttention:
    norm, out_norm = nn.GroupNorm(1, width), RMSNorm(width)
    return LinearAttention(
        width, HEADS, norm, out_norm, head_dim=DIM, memory_tokens=memory_tokens, zero_start=False
    )


def heads(layer, images):
    """Queries, keys and values (B, heads, N, d), split one channel at a time."""
    qkv = layer.qkv(layer.norm(images)).flatten(2).double()  # (B, 3 heads d, N)
    parts = [
        [qkv[:, (part * HEADS + head) * DIM :][:, :DIM].transpose(1, 2) for head in range(HEADS)]
        for part in range(3)
    ]
    query, key, value = (torch.stack(part, dim=1) for part in parts)
    if layer.memory is not None:
        learned = layer.memory.double().unsqueeze(1).expand(-1, len(images), -1, -1, -1)
        key, value = torch.cat([key, learned[0]], dim=2), torch.cat([value, learned[1]], dim=2)
    return query, key, value


def projected(layer, attended, images):
    """(B, heads, N, d) -> what the layer adds to its input, before a norm."""
    return layer.project(attended.float().transpose(-1, -2).reshape(len(images), -1, *images.shape[-2:]))


@pytest.mark.row("H15")
@pytest.mark.parametrize("memory_tokens", [0, 4])
def test_full_attention_equals_its_formula_and_that_of_pytorch(memory_tokens):
    layer, images = full(memory_tokens=memory_tokens), torch.randn(2, 12, 4, 5)
    query, key, value = heads(layer, images)
    weights = (torch.einsum("bhid,bhjd->bhij", query, key) * 32**-0.5).softmax(dim=-1)
    attended = torch.einsum("bhij,bhjd->bhid", weights, value)
    close(attended, functional.scaled_dot_product_attention(query, key, value))
    close(layer(images), images + projected(layer, attended, images))


@pytest.mark.row("H15")
@pytest.mark.parametrize("width", [12, 64])
def test_heads_have_the_given_or_default_dimension(width):
    for layer in (full(width), linear(width)):
        assert layer.qkv.weight.shape == (3 * 128, width, 1, 1)
        assert layer.qkv.bias is None
        assert layer.project.weight.shape == (width, 128, 1, 1)
        assert layer.project.bias.shape == (width,)
    assert Attention(64, 4, nn.Identity()).qkv.weight.shape == (3 * 64, 64, 1, 1)
    assert LinearAttention(64, 4, nn.Identity(), RMSNorm(64)).qkv.weight.shape == (3 * 64, 64, 1, 1)


@pytest.mark.row("H15", "H16")
@pytest.mark.parametrize("make", [full, linear])
@pytest.mark.parametrize("memory_tokens", [0, 4])
def test_attention_is_equivariant_to_permutations_of_positions(make, memory_tokens):
    layer, images, order = make(memory_tokens=memory_tokens), torch.randn(1, 12, 4, 4), torch.randperm(16)
    shuffled = images.flatten(2)[..., order].view_as(images)
    close(layer(shuffled), layer(images).flatten(2)[..., order].view_as(images))


@pytest.mark.row("H16")
@pytest.mark.parametrize("memory_tokens", [0, 4])
def test_linear_attention_equals_its_quadratic_form(memory_tokens):
    layer, images = linear(memory_tokens=memory_tokens), 2 * torch.randn(2, 12, 4, 5)
    query, key, value = heads(layer, images)
    weights = torch.einsum("bhid,bhjd->bhij", query.softmax(dim=-1), key.softmax(dim=-2))
    close(weights.sum(dim=-1), torch.ones(2, HEADS, 20, dtype=torch.float64), 1e-12)
    assert weights.min() > 0
    attended = torch.einsum("bhij,bhjd->bhid", weights, value) * 32**-0.5
    close(layer(images), images + layer.out_norm(projected(layer, attended, images)))


@pytest.mark.row("H16")
def test_only_the_cost_of_full_attention_is_quadratic_in_positions():
    def operations(layer, side):
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            layer(torch.randn(1, 12, side, side))
        return counter.get_total_flops()

    small, medium, large = (operations(linear(), side) for side in (4, 8, 16))  # besides a d x d matrix's
    assert large - medium == 4 * (medium - small) > 0
    layer = full()
    convolutions = 2 * 12 * 4 * 128  # a position's, both ways
    square = [operations(layer, side) - side**2 * convolutions for side in (4, 8)]
    assert square == [4 * 128 * side**4 for side in (4, 8)]


@pytest.mark.row("H17")
@pytest.mark.parametrize("make", [full, linear])
def test_memory_tokens_are_learned_keys_and_values_of_each_head(make):
    layer, images = make(memory_tokens=4), torch.randn(1, 12, 2, 3)
    assert layer.memory.shape == (2, HEADS, 4, DIM)
    assert layer.memory.std().item() == pytest.approx(1, abs=0.1)
    assert heads(layer, images)[1].shape[-2] == 2 * 3 + 4
    layer(images).square().sum().backward()
    assert layer.memory.grad.flatten(2).any(dim=-1).all()
    assert make().memory is None


@pytest.mark.row("H17")
def test_queries_of_zero_average_the_values_of_image_and_memory():
    """All N positions and M memory tokens then get the same weight."""
    layer, images = full(memory_tokens=1), torch.randn(1, 12, 1, 3)
    with torch.no_grad():
        layer.qkv.weight[:128].zero_()  # queries of zero: every key gets the same weight
    _, _, value = heads(layer, images)
    close(layer(images), images + projected(layer, value.mean(2, keepdim=True).expand(-1, -1, 3, -1), images))


@pytest.mark.parametrize("positions", [(1, 1), (1, 7), (5, 3)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_untrained_attention_returns_its_input(positions, dtype):
    images = torch.randn(2, 8, *positions)
    for layer in (
        Attention(8, 2, nn.GroupNorm(2, 8)),
        LinearAttention(8, 2, nn.GroupNorm(2, 8), RMSNorm(8), memory_tokens=2),
    ):
        with torch.autocast("cpu", dtype, enabled=dtype == torch.bfloat16):
            assert torch.equal(layer(images), images)


def test_attention_is_scaled_by_the_dimension_of_a_head():
    layer, images = full(), torch.randn(1, 12, 3, 3)
    query, key, value = heads(layer, images)
    wrong = functional.scaled_dot_product_attention(query, key, value, scale=1 / math.sqrt(12))
    assert not torch.allclose(layer(images), images + projected(layer, wrong, images), atol=1e-5)
