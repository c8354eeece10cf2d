"""The pixel head: no effect at first, its equation, what a pixel sees, and what it makes easy."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from helpers.small_networks import LEVELS, transformer, unet
from unnoise.diffusion.diffusion import Diffusion
from unnoise.diffusion.objectives import Objective
from unnoise.networks import UNet
from unnoise.networks.pixel_head import PixelHead


def drawn(network: nn.Module) -> nn.Module:
    """With weights of which none is zero."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_(std=0.3, generator=generator)
    return network


@pytest.mark.parametrize("make", [unet, transformer])
@pytest.mark.parametrize("more", [{}, {"self_conditioning": True}, {"uncertainty": True}, {"num_classes": 3}])
def test_it_changes_nothing_before_the_first_step(make, more):
    torch.manual_seed(0)
    plain = make(**more)
    torch.manual_seed(0)
    detailed = make(pixel_width=4, **more)
    for network in (plain, detailed):
        torch.nn.init.ones_(network.head.weight)
    images = torch.randn(2, 2, 7, 5)
    assert torch.equal(plain(images, LEVELS), detailed(images, LEVELS))


def test_it_is_its_equation():
    head = drawn(PixelHead(5, 2, 3, 4, 6)).double()
    features, images = torch.randn(2, 5, 2, 3).double(), torch.randn(2, 2, 6, 9).double()
    embedding = torch.randn(2, 6).double()
    weights = head.spread.weight.view(4, 3, 3, 5)  # width, row and column in a patch, features
    spread = torch.einsum("wijf,bfrc->bwricj", weights, features).reshape(2, 4, 6, 9)
    spread = spread + head.spread.bias.view(4, 3, 3).repeat(1, 2, 3)
    gain = 1 + embedding @ head.gain.weight.T + head.gain.bias
    hidden = functional.silu(spread + gain[:, :, None, None] * head.enter(images))
    wanted = head.leave(functional.silu(head.between(hidden)))
    torch.testing.assert_close(head(features, images, embedding), wanted)


def test_a_pixel_sees_its_neighbours_and_its_own_patch():
    head = drawn(PixelHead(5, 1, 4, 3, 2))
    images = torch.randn(1, 1, 16, 16, requires_grad=True)
    features = torch.randn(1, 5, 4, 4, requires_grad=True)
    head(features, images, torch.randn(1, 2))[0, 0, 9, 9].backward()
    rows = images.grad[0, 0].abs().sum(1).nonzero().flatten().tolist()
    assert rows == [6, 7, 8, 9, 10, 11, 12]
    patches = features.grad[0].abs().sum(0).nonzero().tolist()
    assert patches == [[1, 1], [1, 2], [2, 1], [2, 2]]  # pixels 7 to 11 are of the patches 1 and 2


def test_a_learned_variance_is_left_alone():
    torch.manual_seed(0)
    network = drawn(unet(pixel_width=4, learned_variance=True, self_conditioning=True))
    images, previous = torch.randn(2, 2, 8, 8), torch.randn(2, 2, 8, 8)
    with_it = network(images, LEVELS, previous_images=previous)
    network.pixel_head = None
    without = network(images, LEVELS, previous_images=previous)
    assert torch.equal(with_it[:, 2:], without[:, 2:])
    assert (with_it[:, :2] - without[:, :2]).abs().min() > 0


@pytest.mark.parametrize("width", [0, 8])
def test_a_network_too_narrow_for_its_patches_learns_what_single_pixels_need(width):
    """A patch of 16 pixels goes through 4 numbers: without the head most of the noise is lost."""
    torch.manual_seed(0)
    network = UNet(1, (4,), 1, attention=("none",), embedding_dim=8, patch_size=4, pixel_width=width)
    diffusion = Diffusion(network, (1, 8, 8), objective=Objective("noise", "noise", "l2"))
    generator = torch.Generator().manual_seed(0)
    flat = torch.randint(0, 2, (64, 1, 1, 1), generator=generator).float().expand(-1, 1, 8, 8)
    losses = [float(diffusion.train_step(flat, generator=generator).loss) for _ in range(150)]
    last = sum(losses[-10:]) / 10
    assert (last < 0.4) == (width > 0), last


def test_its_ends_are_no_hidden_layers():
    network = unet(pixel_width=4)
    assert network.pixel_head.enter in network.ends
    assert network.pixel_head.leave in network.ends
    assert network.pixel_head.between not in network.ends
