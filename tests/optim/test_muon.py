"""Muon: equal singular values, AdamW for the other parameters, and one state for both."""

import copy
import math

import pytest
import torch
from torch import nn

from unnoise.optim.muon import Muon, orthogonalize
from unnoise.optim.optimizers import OptimizerConfig


@pytest.mark.parametrize("shape", [(16, 16), (24, 200), (200, 24)])
def test_orthogonalized_matrices_have_singular_values_of_about_1(shape):
    """U diag(s) V^T -> U diag(about 1) V^T: the singular vectors stay, the values are all near 1."""
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    rows, _, columns = torch.linalg.svd(matrix, full_matrices=False)
    found = rows.T @ orthogonalize(matrix) @ columns.T
    values = found.diagonal()
    assert 0.6 < values.min() <= values.max() < 1.3
    assert (found - values.diag()).abs().max() < 1e-10


def test_the_length_of_an_update_does_not_depend_on_the_gradient():
    lengths = []
    for scale in (1e-4, 1.0, 1e6):
        weight = nn.Parameter(torch.zeros(32, 64))
        optimizer = Muon([weight], [], 0.1)
        weight.grad = scale * torch.randn(32, 64, generator=torch.Generator().manual_seed(1))
        optimizer.step()
        lengths.append(weight.square().mean().sqrt().item())
    # 32 singular values of 0.7 to 1.2, times 0.1 * 0.2 sqrt(64), spread over 32 x 64 elements
    assert 0.7 * 0.02 < min(lengths) <= max(lengths) < 1.2 * 0.02
    assert lengths == pytest.approx([lengths[1]] * 3, rel=1e-3)


def test_parameters_that_are_not_matrices_move_as_under_adamw():
    torch.manual_seed(0)
    layer = nn.Conv2d(16, 32, 3)
    twin = nn.Parameter(layer.bias.detach().clone())
    muon = Muon([layer.weight], [layer.bias], 1e-2, weight_decay=0.1)
    adamw = torch.optim.AdamW([twin], 1e-2, (0.9, 0.99), weight_decay=0.1)
    for _ in range(5):
        layer.weight.grad, layer.bias.grad = torch.randn_like(layer.weight), torch.randn_like(layer.bias)
        twin.grad = layer.bias.grad.clone()
        for group in (*muon.param_groups, *adamw.param_groups):
            group["lr"] *= 0.9
        muon.step()
        adamw.step()
    assert torch.equal(layer.bias, twin)


def test_a_loaded_state_continues_bit_for_bit():
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(16, 16, 1), nn.Conv2d(16, 32, 3), nn.Flatten(), nn.Linear(32, 24), nn.Linear(24, 16)
    )
    optimizer = OptimizerConfig(name="muon", learning_rate=1e-2).build(network)

    def train(network, optimizer, seed):
        generator = torch.Generator().manual_seed(seed)
        for _ in range(3):
            optimizer.zero_grad()
            network(torch.randn(4, 16, 3, 3, generator=generator)).square().mean().backward()
            optimizer.step()

    train(network, optimizer, 1)
    again = copy.deepcopy(network)
    resumed = OptimizerConfig(name="muon", learning_rate=1e-2).build(again)
    resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    train(network, optimizer, 2)
    train(again, resumed, 2)
    assert all(torch.equal(*pair) for pair in zip(network.parameters(), again.parameters(), strict=True))


def test_step_returns_the_loss_of_a_closure():
    weight = nn.Parameter(torch.ones(16, 16))

    def closure():
        weight.grad = None
        loss = weight.square().sum()
        loss.backward()
        return loss.item()

    assert Muon([weight], [], 1e-2).step(closure) == 256.0


@pytest.mark.parametrize("shape", [(4, 96, 864), (2, 192, 192), (3, 400, 100), (1, 128, 256)])
@pytest.mark.parametrize("smallest", [1e-1, 1e-3])
def test_bfloat16_orthogonalises_like_float64(shape, smallest):
    """Singular values that are small beside rounding may not grow out of bounds, as they would in one round."""
    left, _, right = torch.linalg.svd(torch.randn(shape, dtype=torch.float64), full_matrices=False)
    values = torch.logspace(0, math.log10(smallest), left.shape[-1], dtype=torch.float64)
    matrices = (left * values) @ right
    exact, found = orthogonalize(matrices), orthogonalize(matrices.float(), half=True)
    assert found.dtype == torch.float32
    assert float((found - exact).norm() / exact.norm()) < 0.15
    assert float(torch.linalg.svdvals(found).max()) < 1.25


def test_half_precision_leaves_small_matrices_as_they_are():
    """Below 96 rows bfloat16 saves no time."""
    moved = []
    for half in (False, True):
        weight = torch.nn.Parameter(torch.ones(32, 64))
        weight.grad = torch.randn(32, 64, generator=torch.Generator().manual_seed(0))
        optimizer = Muon([weight], [torch.nn.Parameter(torch.ones(1))], 0.1)
        optimizer.half = half
        optimizer.step()
        moved.append(weight.detach())
    assert torch.equal(*moved)
