"""Blocks, norms and the embedding of time steps equal the published formulas."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from helpers.sampling import column
from unnoise.networks.blocks import BookBlock, ResidualBlock
from unnoise.networks.convnext import ConvNeXtBlock
from unnoise.networks.embeddings import TimestepEmbedding
from unnoise.networks.norms import ChannelLayerNorm, RMSNorm
from unnoise.networks.resnet import ResNetBlock, WeightStandardizedConv2d
from unnoise.utils.errors import UnnoiseError


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def randomised(module: nn.Module) -> nn.Module:
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_(std=0.3)
    return module.eval()


def close(left, right, tolerance=1e-5):
    torch.testing.assert_close(left, right, atol=tolerance, rtol=tolerance)


@pytest.mark.row("H9")
def test_timestep_embedding_has_the_published_numbers():
    vector = TimestepEmbedding(64)(column(10.0))[0]
    close(vector[:3], torch.tensor([-0.544021, 0.911310, -0.691260]))
    close(vector[32:35], torch.tensor([-0.839072, 0.411721, 0.722606]))
    steps = torch.arange(1000.0).view(-1, 1, 1, 1)
    vectors = TimestepEmbedding(28)(steps)
    close(vectors.square().sum(1), torch.full((1000,), 14.0))
    exact = steps.double().view(-1, 1) * 10_000.0 ** (-torch.arange(14, dtype=torch.float64) / 13)
    close(vectors.double(), torch.cat([exact.sin(), exact.cos()], 1), 3e-4)


@pytest.mark.row("H9")
def test_timestep_embedding_is_computed_in_float32_under_autocast():
    embed, steps = TimestepEmbedding(16), torch.arange(990.0, 1000.0).view(-1, 1, 1, 1)
    with torch.autocast("cpu", torch.bfloat16):
        inside = embed(steps)
    assert inside.dtype == torch.float32
    assert torch.equal(inside, embed(steps))
    assert torch.equal(embed(steps.bfloat16()).isfinite(), torch.ones(10, 16, dtype=torch.bool))


@pytest.mark.row("H9")
@pytest.mark.parametrize("dimensions", [0, 2, 7, 33])
def test_timestep_embedding_refuses_odd_and_small_dimensions(dimensions):
    with pytest.raises(UnnoiseError, match=f"even number of dimensions of at least 4, but got {dimensions}"):
        TimestepEmbedding(dimensions)


@pytest.mark.row("H10")
def test_resnet_block_with_an_added_embedding_is_that_of_the_first_study():
    """The embedding is added after the first SiLU."""
    block = randomised(ResNetBlock(16, 24, "group", 10, "add"))
    images, embedding = torch.randn(2, 16, 5, 6), torch.randn(2, 10)
    hidden = functional.silu(functional.group_norm(block.first(images), 8, *block.first_norm.parameters()))
    hidden = (
        hidden + (embedding @ block.modulate.project.weight.T + block.modulate.project.bias)[..., None, None]
    )
    hidden = functional.silu(functional.group_norm(block.second(hidden), 8, *block.second_norm.parameters()))
    close(block(images, embedding), hidden + block.shortcut(images))
    assert (block.first.kernel_size, block.shortcut.kernel_size) == ((3, 3), (1, 1))
    assert isinstance(ResNetBlock(16, 16, "group", 10, "add").shortcut, nn.Identity)


@pytest.mark.row("H11")
def test_resnet_block_with_scale_and_shift_is_that_of_the_second_study():
    """The embedding scales and shifts after the first norm only."""
    block = randomised(ResNetBlock(12, 12, "group", 10, "scale_shift", groups=4))
    images, embedding = torch.randn(2, 12, 5, 6), torch.randn(2, 10)
    scale, shift = block.modulate.project(embedding)[..., None, None].chunk(2, dim=1)
    hidden = functional.group_norm(block.first(images), 4, *block.first_norm.parameters())
    hidden = functional.silu(hidden * (scale + 1) + shift)
    hidden = functional.silu(functional.group_norm(block.second(hidden), 4, *block.second_norm.parameters()))
    close(block(images, embedding), hidden + images)


@pytest.mark.row("H11")
@pytest.mark.parametrize("kind", ["residual", "book", "resnet", "convnext"])
def test_scale_shift_starts_without_effect_in_every_block(kind):
    block = {
        "residual": lambda: ResidualBlock(16, 16, "group", 10, "scale_shift"),
        "book": lambda: BookBlock(16, 16, "group", 10, "scale_shift"),
        "resnet": lambda: ResNetBlock(16, 16, "group", 10, "scale_shift"),
        "convnext": lambda: ConvNeXtBlock(16, 16, 10, "scale_shift"),
    }[kind]()
    projection = block.modulate.project
    assert not projection.weight.any()
    randomised(block)
    images, embedding = torch.randn(2, 16, 5, 5), torch.randn(2, 10)
    modulated = block(images, embedding)
    for parameter in projection.parameters():
        nn.init.zeros_(parameter)
    close(block(images, embedding), block(images, None), 1e-6)
    assert not torch.allclose(block(images, embedding), modulated)


@pytest.mark.row("H11")
def test_published_blocks_initialise_modulation_at_random():
    assert ResNetBlock(8, 8, "group", 10, "scale_shift", zero_start=False).modulate.project.weight.any()
    assert ConvNeXtBlock(8, 8, 10, "scale_shift", zero_start=False).modulate.project.weight.any()


@pytest.mark.row("H12")
def test_standardised_weights_have_mean_0_and_variance_1_for_each_output_channel():
    convolution = WeightStandardizedConv2d(16, 6).double()
    weight = convolution.standardized()
    close(weight.mean(dim=(1, 2, 3)), torch.zeros(6, dtype=torch.float64), 1e-12)
    inside = convolution.convolution.weight
    variance = inside.var(dim=(1, 2, 3), correction=0)
    close(weight.var(dim=(1, 2, 3), correction=0), variance / (variance + 1e-5), 1e-12)
    by_hand = (inside - inside.mean(dim=(1, 2, 3), keepdim=True)) / (variance + 1e-5).sqrt().view(-1, 1, 1, 1)
    close(weight, by_hand, 1e-12)


@pytest.mark.row("H12")
def test_standardised_convolution_ignores_scale_and_offset_of_its_weights():
    convolution, images = WeightStandardizedConv2d(8, 6).double(), torch.randn(2, 8, 5, 5, dtype=torch.float64)
    with torch.no_grad():
        convolution.convolution.weight.mul_(1000)  # far above eps
        before = convolution(images)
        convolution.convolution.weight.mul_(7).add_(3)
        close(convolution(images), before, 1e-7)


@pytest.mark.row("H12")
@pytest.mark.parametrize(
    ("dtype", "eps"), [(torch.float32, 1e-5), (torch.bfloat16, 1e-3), (torch.float16, 1e-3)]
)
def test_weight_standardisation_has_a_larger_eps_in_half_precision(dtype, eps):
    convolution = WeightStandardizedConv2d(4, 2)
    with torch.no_grad():
        weight = convolution.convolution.weight.normal_(std=0.02)  # as small as eps makes a difference
    variance = weight.var(dim=(1, 2, 3), correction=0)
    std = convolution.to(dtype).standardized().float().std(dim=(1, 2, 3), correction=0)
    close(std, (variance / (variance + eps)).sqrt(), 0.02)


@pytest.mark.row("H12")
def test_resnet_block_standardises_its_3x3_convolutions_only():
    block = ResNetBlock(8, 16, "group", 10, "scale_shift", standardized=True)
    kinds = [type(module) for module in (block.first, block.second, block.shortcut)]
    assert kinds == [WeightStandardizedConv2d, WeightStandardizedConv2d, nn.Conv2d]
    assert count(block) == count(ResNetBlock(8, 16, "group", 10, "scale_shift"))


@pytest.mark.row("H13")
def test_convnext_block_equals_its_formula():
    block = randomised(ConvNeXtBlock(6, 10, 12, "add"))
    images, embedding = torch.randn(2, 6, 9, 8), torch.randn(2, 12)

    def norm(images, layer):
        mean, variance = images.mean(1, keepdim=True), images.var(1, correction=0, keepdim=True)
        gain, bias = (parameter.view(-1, 1, 1) for parameter in layer.norm.parameters())
        return (images - mean) / (variance + 1e-5).sqrt() * gain + bias

    depthwise = [
        functional.conv2d(images[:, i : i + 1], block.depthwise.weight[i : i + 1], padding=3) for i in range(6)
    ]
    hidden = torch.cat(depthwise, 1) + block.depthwise.bias.view(-1, 1, 1)
    hidden = hidden + block.modulate.project(embedding)[..., None, None]
    hidden = functional.gelu(block.first(norm(hidden, block.first_norm)))
    close(
        block(images, embedding),
        block.shortcut(images) + block.second(norm(hidden, block.second_norm)),
        1e-4,
    )


@pytest.mark.row("H13")
@pytest.mark.parametrize(("before", "after"), [(6, 10), (8, 8)])
def test_convnext_block_has_the_published_number_of_parameters(before, after):
    depthwise, projection, norms = 50 * before, 13 * before, 2 * before + 4 * after
    convolutions = (9 * before + 1) * 2 * after + (9 * 2 * after + 1) * after
    shortcut = (before + 1) * after if before != after else 0
    expected = depthwise + projection + norms + convolutions + shortcut
    assert count(ConvNeXtBlock(before, after, 12, "add")) == expected
    assert count(ConvNeXtBlock(before, after, 0, "add")) == expected - projection


@pytest.mark.row("H14")
def test_channel_layer_norm_normalises_each_position_by_itself():
    images = 3 * torch.randn(2, 32, 4, 5) + 7
    normed = ChannelLayerNorm(32)(images)
    close(normed.mean(1), torch.zeros(2, 4, 5))
    close(normed.var(1, correction=0), torch.ones(2, 4, 5), 1e-4)
    whole = nn.GroupNorm(1, 32)(images)  # over channels and positions: another function
    close(whole.mean((1, 2, 3)), torch.zeros(2))
    assert whole.mean(1).abs().max() > 0.1
    assert count(ChannelLayerNorm(32)) == 64


@pytest.mark.row("H14")
def test_rms_norm_equals_its_formula():
    norm, images = RMSNorm(9), 5 * torch.randn(2, 9, 4, 5) + 2
    close(norm(images).square().mean(1), torch.ones(2, 4, 5))
    randomised(norm)
    lengths = images.square().sum(1, keepdim=True).sqrt()
    close(norm(images), images / lengths * 3 * norm.gain.view(-1, 1, 1))
    assert not norm(torch.zeros(1, 9, 2, 2)).any()


@pytest.mark.parametrize("kind", [ResidualBlock, BookBlock, ResNetBlock, ConvNeXtBlock])
def test_dropout_acts_in_training_only_and_changes_no_initial_weights(kind):
    choices = (8, 8, 10, "add", 0.5) if kind is ConvNeXtBlock else (8, 8, "group", 10, "add", 0.5)
    torch.manual_seed(1)
    block = kind(*choices)
    torch.manual_seed(1)
    without = kind(*choices[:-1])
    assert block.state_dict().keys() == without.state_dict().keys()
    for left, right in zip(block.parameters(), without.parameters(), strict=True):
        assert torch.equal(left, right)
    for both in (block, without):
        nn.init.ones_(both.second.weight)
    images, embedding = torch.randn(2, 8, 5, 5), torch.randn(2, 10)
    assert not torch.equal(block(images, embedding), block(images, embedding))
    close(block.eval()(images, embedding), without.eval()(images, embedding), 1e-6)
