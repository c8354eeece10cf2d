"""The skip from noisy images to the prediction: no effect at first, exact products, and what it makes easy."""

import pytest
import torch
from torch.nn import functional

from helpers.small_networks import LEVELS, transformer, unet
from unnoise.diffusion.diffusion import Diffusion
from unnoise.diffusion.objectives import Objective
from unnoise.networks import UNet


@pytest.mark.parametrize("make", [unet, transformer])
@pytest.mark.parametrize("more", [{}, {"self_conditioning": True}, {"uncertainty": True}, {"num_classes": 3}])
def test_it_changes_nothing_before_the_first_step(make, more):
    torch.manual_seed(0)
    plain = make(**more)
    torch.manual_seed(0)
    skipping = make(input_skip=True, **more)
    for network in (plain, skipping):
        torch.nn.init.ones_(network.head.weight)
    images = torch.randn(2, 2, 7, 5)
    assert torch.equal(plain(images, LEVELS), skipping(images, LEVELS))


@pytest.mark.parametrize("make", [unet, transformer])
def test_it_adds_the_images_times_a_gain_for_each_number_of_a_patch(make):
    """At a side that is padded inside: the output of an untrained network is the product alone."""
    network = make(input_skip=True)
    gains = torch.arange(1.0, 9.0)
    network.input_skip.bias.data = gains
    images = torch.randn(2, 2, 7, 5)
    tiles = gains.view(2, 2, 2).repeat(1, 4, 3)[:, :7, :5]  # channel, row and column within a patch
    torch.testing.assert_close(network(images, LEVELS), tiles * images)


def test_gains_follow_the_noise_level_and_leave_the_learned_variance_alone():
    network = unet(input_skip=True, learned_variance=True, self_conditioning=True)
    torch.nn.init.normal_(network.input_skip.weight)
    images = torch.randn(1, 2, 8, 8).expand(2, -1, -1, -1)
    found = network(images, LEVELS, previous_images=torch.randn(2, 2, 8, 8))
    assert not found[:, 2:].any()
    ratios = found[:, :2] / images
    assert (ratios[0] - ratios[1]).abs().min() > 1e-3
    torch.testing.assert_close(ratios[..., :2, :2], ratios[..., 2:4, 6:8], rtol=1e-4, atol=1e-5)


def test_with_it_layers_of_the_noise_level_alone_find_the_noise_in_an_empty_picture():
    """Of x_0 = 0 the velocity is alpha / sigma x_t; no other layer has to learn."""
    network = UNet(1, (8,), 1, attention=("none",), embedding_dim=16, max_frequency=100.0, input_skip=True)
    for name, parameter in network.named_parameters():
        parameter.requires_grad = name.split(".")[0] in {"dense", "input_skip"}
    diffusion = Diffusion(network, (1, 4, 4), objective=Objective("velocity", "velocity", "l2"))
    generator, empty = torch.Generator().manual_seed(0), torch.zeros(64, 1, 4, 4)
    losses = [float(diffusion.train_step(empty, generator=generator).loss) for _ in range(200)]
    assert losses[-1] < 0.1 * losses[0]


def test_the_gain_is_applied_in_the_precision_of_the_images():
    network = unet(input_skip=True)
    torch.nn.init.ones_(network.input_skip.bias)
    images = torch.randn(2, 2, 8, 8)
    with torch.autocast("cpu", torch.bfloat16):
        found = network(images, LEVELS)
    torch.testing.assert_close(found.float(), images, rtol=0, atol=0)
    assert functional.mse_loss(found.float(), images) == 0
