"""Attention on a grid: relative positions, and windows that are the masked square form."""

import pytest
import torch
from torch.nn import functional

from unnoise.networks.windows import GridAttention, axial_angles, rotated
from unnoise.utils.errors import UnnoiseError


def attention(width=16, head_dim=8, window=0, *, shifted=False):
    torch.manual_seed(0)
    built = GridAttention(width, head_dim, window, shifted=shifted)
    torch.nn.init.normal_(built.project.weight)
    torch.nn.init.normal_(built.gain)  # each head has its own
    return built


def square_form(built, tokens, same_window):
    """Attention of all tokens with all others, where only those of one window see each other."""
    rows, columns = tokens.shape[1:3]
    query, key, value = built.qkv(tokens).unflatten(-1, (3, -1, built.head_dim)).unbind(3)
    angles = axial_angles(rows, columns, built.head_dim, tokens.device)
    query, key = (rotated(functional.normalize(each, dim=-1), angles) for each in (query, key))
    scores = torch.einsum("bijhd,bklhd->bhijkl", query, key) * built.gain.exp().view(1, -1, 1, 1, 1, 1)
    scores = scores.masked_fill(~same_window, -torch.inf).flatten(-2).softmax(-1).unflatten(-1, (rows, columns))
    return built.project(torch.einsum("bhijkl,bklhd->bijhd", scores, value).flatten(-2))


def windows_of(rows, columns, window, shift):
    """Whether two tokens are in the same window: (rows, columns, rows, columns)."""
    row, column = ((torch.arange(size) + shift) // window for size in (rows, columns))
    place = row[:, None] * 1000 + column
    return place[:, :, None, None] == place[None, None]


@pytest.mark.parametrize(("rows", "columns"), [(8, 8), (7, 9), (4, 12), (5, 3), (1, 17)])
@pytest.mark.parametrize("shifted", [False, True])
@pytest.mark.parametrize("window", [3, 4])
def test_windows_are_the_masked_square_form(rows, columns, window, shifted):
    built, tokens = attention(window=window, shifted=shifted), torch.randn(2, rows, columns, 16)
    wanted = square_form(built, tokens, windows_of(rows, columns, window, window // 2 if shifted else 0))
    torch.testing.assert_close(built(tokens), wanted, atol=1e-5, rtol=1e-5)


def test_without_windows_all_tokens_see_each_other():
    built, tokens = attention(), torch.randn(2, 6, 8, 16)
    everything = torch.ones(6, 8, 6, 8, dtype=torch.bool)
    torch.testing.assert_close(built(tokens), square_form(built, tokens, everything), atol=1e-5, rtol=1e-5)


def test_products_of_turned_tokens_depend_on_how_far_apart_they_are():
    query, key = torch.randn(2, 16)
    angles = axial_angles(12, 12, 16, torch.device("cpu"))
    turned = [rotated(each.expand(1, 12, 12, 1, 16), angles)[0, :, :, 0] for each in (query, key)]

    def product(first, second):
        return float(turned[0][first] @ turned[1][second])

    for row, column in ((0, 0), (3, 5), (7, 2)):
        assert product((row, column), (row + 4, column + 1)) == pytest.approx(product((1, 1), (5, 2)), abs=1e-5)
    assert product((0, 0), (1, 0)) != pytest.approx(product((0, 0), (0, 1)), abs=1e-3)


def test_turning_keeps_lengths_and_leaves_the_first_token():
    values, angles = torch.randn(2, 5, 6, 3, 8), axial_angles(5, 6, 8, torch.device("cpu"))
    turned = rotated(values, angles)
    torch.testing.assert_close(turned.norm(dim=-1), values.norm(dim=-1))
    assert torch.equal(turned[:, 0, 0], values[:, 0, 0])


def test_an_untrained_layer_returns_zero():
    assert not GridAttention(16, 8)(torch.randn(1, 3, 3, 16)).any()


@pytest.mark.parametrize(("width", "head_dim"), [(16, 6), (20, 8)])
def test_heads_that_do_not_fill_the_width_are_refused(width, head_dim):
    with pytest.raises(UnnoiseError, match=f"but got {head_dim} of {width}"):
        GridAttention(width, head_dim)
