"""The fused group norm, gain, shift and SiLU against PyTorch's own operations."""

from copy import deepcopy
from functools import partial

import pytest
import torch
from torch import nn
from torch.nn import functional

from unnoise.networks import normed_silu as fused
from unnoise.networks.embeddings import Modulate
from unnoise.networks.normed_silu import normed_silu

SHAPES = {
    "one picture": (1, 8, 4, 4),
    "odd sides": (5, 12, 3, 7),
    "one position": (3, 12, 1, 1),
    "many channels": (2, 132, 6, 5),
    "several pieces": (9, 16, 24, 20),
}


def layers(channels, dtype, *, affine=True):
    torch.manual_seed(1)
    norm = nn.GroupNorm(4, channels, affine=affine, eps=1e-4).to(dtype)
    modulate = Modulate("scale_shift", 5, channels, zero_start=False).to(dtype)
    for parameter in norm.parameters():
        nn.init.normal_(parameter)
    return norm, modulate


def by_parts(norm, images, modulate=None, embedding=None):
    hidden = norm(images)
    return functional.silu(hidden if modulate is None else modulate(hidden, embedding))


@pytest.fixture
def small_pieces(monkeypatch):
    """Pieces of few values, so that small pictures go through in several."""
    monkeypatch.setattr(fused, "_VALUES_AT_ONCE", 700)


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("modulated", [True, False])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
def test_output_and_all_gradients_are_those_of_the_parts(shape, layout, affine, modulated):
    norm, modulate = layers(shape[1], torch.float64, affine=affine)
    images = torch.randn(shape, dtype=torch.float64).to(memory_format=layout).requires_grad_()
    embedding = torch.randn(shape[0], 5, dtype=torch.float64, requires_grad=True)
    more = (modulate, embedding) if modulated else ()
    inputs = [images, *norm.parameters(), *((embedding, *modulate.parameters()) if modulated else ())]
    ours, theirs = normed_silu(norm, images, *more), by_parts(norm, images, *more)
    torch.testing.assert_close(ours, theirs, atol=1e-12, rtol=1e-12)
    above = torch.randn_like(theirs)
    gradients = (torch.autograd.grad(output, inputs, above) for output in (ours, theirs))
    for our, their in zip(*gradients, strict=True):
        torch.testing.assert_close(our, their, atol=1e-11, rtol=1e-10)


def test_gradients_and_theirs_agree_with_differences():
    norm, modulate = layers(8, torch.float64)
    images = torch.randn(2, 8, 2, 3, dtype=torch.float64, requires_grad=True)
    embedding = torch.randn(2, 5, dtype=torch.float64, requires_grad=True)
    call = partial(normed_silu, norm)
    assert torch.autograd.gradcheck(lambda x, e: call(x, modulate, e), (images, embedding))
    assert torch.autograd.gradgradcheck(lambda x, e: call(x, modulate, e), (images, embedding))


def test_bfloat16_is_as_exact_as_its_own_rounding_whatever_the_mean():
    """Statistics in float32: those of bfloat16 would lose the variance beside a large mean."""
    norm, _ = layers(16, torch.float32)
    images = (torch.randn(4, 16, 16, 16) + 8).bfloat16().to(memory_format=torch.channels_last)
    exact = by_parts(norm.double(), images.double())
    found = normed_silu(norm.float(), images)
    assert found.dtype == torch.bfloat16
    assert found.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(found.double(), exact, atol=2**-8, rtol=2**-8)


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_gradients_of_bfloat16_are_as_exact_as_its_own_rounding(shape, layout):
    """Of pictures far from 0, as deep layers see them, in several pieces."""
    norm, modulate = layers(shape[1], torch.float32)
    exactly = [deepcopy(layer).double() for layer in (norm, modulate)]
    images = (torch.randn(shape) + 2).bfloat16().to(memory_format=layout).requires_grad_()
    embedding = torch.randn(shape[0], 5, requires_grad=True)
    above = torch.randn(shape).bfloat16()
    wide = [each.detach().double().requires_grad_() for each in (images, embedding)]
    inputs = [images, embedding, *norm.parameters(), *modulate.parameters()]
    exact_inputs = [*wide, *exactly[0].parameters(), *exactly[1].parameters()]
    ours = torch.autograd.grad(normed_silu(norm, images, modulate, embedding), inputs, above)
    exact_output = by_parts(exactly[0], wide[0], exactly[1], wide[1])
    theirs = torch.autograd.grad(exact_output, exact_inputs, above.double())
    for our, their in zip(ours, theirs, strict=True):
        largest = float(their.abs().max())
        torch.testing.assert_close(our.double(), their, atol=2**-7 * max(largest, 1e-3), rtol=0)


@pytest.mark.parametrize("affine", [True, False])
def test_second_gradients_pass_frozen_norms(affine):
    """As of a loaded run, none of whose weights ask for gradients."""
    norm, _ = layers(8, torch.float64, affine=affine)
    norm.requires_grad_(False)
    images = torch.randn(2, 8, 2, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(partial(normed_silu, norm), (images,))


def test_a_constant_picture_gives_its_shift():
    norm, _ = layers(8, torch.float64)
    found = normed_silu(norm, torch.full((2, 8, 4, 4), 3.0, dtype=torch.float64))
    torch.testing.assert_close(found, functional.silu(norm.bias)[None, :, None, None].expand(2, -1, 4, 4))


def test_memory_used_in_inference_mode_can_learn_afterwards():
    norm, _ = layers(8, torch.float32)
    images = torch.randn(3, 8, 9, 11, dtype=torch.bfloat16)
    with torch.inference_mode():
        drawn = normed_silu(norm, images)
    learned = normed_silu(norm, images.requires_grad_())
    learned.sum().backward()
    assert torch.equal(drawn, learned.detach())
    assert images.grad is not None
