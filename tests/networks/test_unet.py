"""`UNet`: published sizes, initialisation, skips, any image size, and checks of its config."""

import dataclasses
import inspect
import math

import pytest
import torch
from torch import nn
from torch.nn import functional

from helpers.sampling import column
from unnoise import Diffusion
from unnoise.diffusion.objectives import Objective
from unnoise.networks import UNet, UNetConfig
from unnoise.networks.attention import Attention
from unnoise.networks.blocks import BookBlock, ResidualBlock
from unnoise.networks.embeddings import Modulate, SinusoidalEmbedding
from unnoise.networks.norms import normalization
from unnoise.utils.errors import UnnoiseError


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def randomised(network: nn.Module) -> nn.Module:
    """The network with random numbers instead of all parameters that start at zero."""
    with torch.no_grad():
        for parameter in network.parameters():
            if not parameter.any():
                parameter.normal_(std=0.1)
    return network.eval()


@pytest.mark.row("U1", "U2", "U4", "U7")
def test_keras_ddim_has_exactly_the_published_parameters():
    network = UNet.keras_ddim()
    assert count(network) == 1_950_627
    statistics = [b for name, b in network.named_buffers() if "running" in name]
    assert sum(b.numel() for b in statistics) == 2_880
    assert network(torch.rand(1, 3, 64, 64), column(0.5)).shape == (1, 3, 64, 64)


@pytest.mark.row("U3")
def test_the_books_batch_norm_has_kerass_momentum_and_eps():
    for module in UNet.keras_ddim().modules():
        if isinstance(module, nn.BatchNorm2d):
            assert (module.affine, module.momentum, module.eps) == (False, 0.01, 1e-3)


@pytest.mark.row("E1")
def test_sinusoidal_embedding_has_the_published_frequencies_and_norm():
    embed = SinusoidalEmbedding(32)
    frequencies = embed.frequencies / (2 * math.pi)
    expected = torch.tensor([10 ** (0.2 * i) for i in range(16)])
    torch.testing.assert_close(frequencies, expected, rtol=1e-6, atol=0)
    vector = embed(column(0.25))[0]
    torch.testing.assert_close(vector[:4], torch.tensor([1, 0.606816, -0.720185, -0.029728]), atol=1e-4, rtol=0)
    torch.testing.assert_close(
        vector[16:20], torch.tensor([0, -0.794843, -0.693782, 0.999558]), atol=1e-4, rtol=0
    )
    norms = embed(torch.rand(50, 1, 1, 1)).square().sum(1)
    torch.testing.assert_close(norms, torch.full((50,), 16.0))


@pytest.mark.row("E2")
def test_sinusoidal_embedding_is_computed_in_float32_under_autocast():
    embed, values = SinusoidalEmbedding(32), torch.rand(200, 1, 1, 1)
    exact = values.double().view(-1, 1) * 2 * math.pi * torch.logspace(0, 3, 16, dtype=torch.float64)
    with torch.autocast("cpu", torch.bfloat16):
        vectors = embed(values)
    assert vectors.dtype == torch.float32
    torch.testing.assert_close(vectors.double(), torch.cat([exact.sin(), exact.cos()], 1), atol=1e-3, rtol=0)


@pytest.mark.row("E3", "U1")
def test_the_book_adds_the_embedding_once_as_constant_channels():
    network, seen = randomised(UNet.keras_ddim()), []
    network.down[0].stages[0].register_forward_hook(lambda _m, inputs, _o: seen.append(inputs[0]))
    network(torch.rand(2, 3, 16, 16), column(0.3, 0.9))
    (features,) = seen
    assert features.shape[1] == 64  # 32 from the stem, 32 of the embedding
    constant = features[:, 32:]
    assert torch.equal(constant, constant[..., :1, :1].expand_as(constant))
    torch.testing.assert_close(constant[..., 0, 0], network.embed(column(0.3, 0.9)))
    assert all(stage.block.modulate is None for level in network.down for stage in level)


@pytest.mark.row("U5")
def test_every_skip_is_used_last_in_first_out():
    network = randomised(UNet.keras_ddim())
    skips, inputs = [], []
    for level in network.down:
        for stage in level:
            stage.register_forward_hook(lambda _m, _i, output: skips.append(output))
    for level in network.up:
        for stage in level:
            stage.register_forward_hook(lambda _m, given, _o: inputs.append(given[0]))
    network(torch.rand(1, 3, 16, 16), column(0.5))
    assert len(skips) == len(inputs) == 6
    for skip, given in zip(reversed(skips), inputs, strict=True):
        assert torch.equal(given[:, -skip.shape[1] :], skip)


@pytest.mark.row("U5")
@pytest.mark.parametrize("network", [UNet.keras_ddim(), UNet(3, (8, 16), 2)], ids=["book", "ours"])
def test_levels_are_averaged_down_and_upsampled_bilinearly_or_by_nearest_neighbours(network):
    inputs, outputs = {}, {}
    levels = {"down": network.down[0], "middle": network.middle, "up": network.up[-1]}
    for name, level in levels.items():
        level.stages[0].register_forward_hook(lambda _m, given, _o, name=name: inputs.update({name: given[0]}))
        level.stages[-1].register_forward_hook(lambda _m, _i, output, name=name: outputs.update({name: output}))
    second = network.down[1] if len(network.down) > 1 else network.middle
    before_last = network.up[-2] if len(network.up) > 1 else network.middle
    second.stages[0].register_forward_hook(lambda _m, given, _o: inputs.update(second=given[0]))
    before_last.stages[-1].register_forward_hook(lambda _m, _i, output: outputs.update(before_last=output))
    network.eval()(torch.rand(1, 3, 16, 16), column(0.5))
    assert torch.equal(inputs["second"], functional.avg_pool2d(outputs["down"], 2))
    small = outputs["before_last"]
    expected = {
        "bilinear": functional.interpolate(small, scale_factor=2, mode="bilinear", align_corners=False),
        "nearest": small.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3),
    }
    assert torch.equal(inputs["up"][:, : small.shape[1]], expected[network.config.upsampling])


@pytest.mark.row("U6", "U10")
@pytest.mark.parametrize("network", [UNet.keras_ddim(), UNet(2, (8, 16), patch_size=2)], ids=["book", "ours"])
def test_an_untrained_network_returns_exactly_zero(network):
    channels = network.config.channels
    assert not network(torch.randn(3, channels, 16, 16), torch.rand(3, 1, 1, 1)).any()


@pytest.mark.row("U8")
@pytest.mark.parametrize(
    ("network", "zero"),
    [(UNet.keras_ddim(), {"head"}), (UNet(2, (16, 32), num_classes=3), {"head", "second", "project"})],
    ids=["book", "ours"],
)
def test_weights_are_initialised_as_by_pytorch_or_at_zero(network, zero):
    """Uniform within 1 / sqrt(fan-in), weights and biases, or zero where a part shall change nothing yet.

    Keras has Glorot's bound and biases of 0: a matter of taste, since norms and zeros decide how it starts.
    """
    kinds = (nn.Conv2d, nn.Linear)
    layers = {name: layer for name, layer in network.named_modules() if isinstance(layer, kinds)}
    assert {name.split(".")[-1] for name, layer in layers.items() if not layer.weight.any()} == zero
    for layer in layers.values():
        weight, bound = layer.weight.detach(), layer.weight[0].numel() ** -0.5
        if weight.any():
            assert weight.abs().max() <= bound
            # A uniform number's square is bound^2 / 3 on average, with a relative spread of 2 / sqrt(5).
            assert weight.square().mean() == pytest.approx(bound**2 / 3, rel=4 * weight.numel() ** -0.5)
        if weight.any() and layer.bias is not None:
            assert 0 < layer.bias.abs().max() <= bound
    norms = [layer for layer in network.modules() if isinstance(layer, nn.GroupNorm) and layer.affine]
    assert all((norm.weight == 1).all() and not norm.bias.any() for norm in norms)


@pytest.mark.row("U6", "H5")
@pytest.mark.parametrize(("loss", "expected"), [("l1", 0.797885), ("l2", 1.0), ("huber", 0.424660)])
def test_the_first_loss_is_that_of_predicting_zero(loss, expected):
    diffusion = Diffusion(UNet.keras_ddim(), (3, 32, 32), objective=Objective("noise", "noise", loss))
    result = diffusion.test_step(torch.rand(64, 3, 32, 32))  # a third of a training step's work
    assert result.loss.item() == pytest.approx(expected, abs=0.01)


@pytest.mark.row("U9")
@pytest.mark.parametrize("patch_size", [1, 2, 3])
@pytest.mark.parametrize(("height", "width"), [(1, 1), (7, 5), (24, 40), (33, 18)])
@pytest.mark.parametrize("channels", [1, 4])
def test_any_height_width_and_channels(channels, height, width, patch_size):
    network = randomised(UNet(channels, (8, 8, 16), 1, patch_size=patch_size))
    output = network(torch.rand(2, channels, height, width), torch.rand(2, 1, 1, 1))
    assert output.shape == (2, channels, height, width)
    assert torch.isfinite(output).all()
    assert output.any()


@pytest.mark.row("U9")
def test_padding_repeats_the_border_and_is_cropped_back():
    network = randomised(UNet(1, (8, 16), 1))
    images = torch.rand(1, 1, 7, 10)
    padded = functional.pad(images, (0, 0, 0, 1), mode="replicate")
    whole = network(padded, column(0.5))
    torch.testing.assert_close(network(images, column(0.5)), whole[:, :, :7], atol=1e-6, rtol=1e-6)


@pytest.mark.row("U11")
def test_silu_numbers():
    values = functional.silu(torch.tensor([1.0, -1.0, -1.27846]))
    torch.testing.assert_close(values, torch.tensor([0.7310586, -0.2689414, -0.2784645]), atol=1e-6, rtol=0)


@pytest.mark.row("U10")
def test_attention_is_the_plain_formula():
    attention = randomised(Attention(16, 4, normalization("group", 16, affine=False)))
    images = torch.randn(2, 16, 3, 5)
    qkv = attention.qkv(attention.norm(images)).view(2, 3, 4, 4, 15)  # (batch, qkv, heads, d, positions)
    query, key, value = qkv.unbind(1)
    weights = torch.softmax(torch.einsum("bhdi,bhdj->bhij", query, key) / math.sqrt(4), dim=-1)
    attended = torch.einsum("bhij,bhdj->bhdi", weights, value).reshape(2, 16, 3, 5)
    torch.testing.assert_close(attention(images), images + attention.project(attended), atol=1e-5, rtol=1e-5)


@pytest.mark.row("U10")
def test_attention_does_not_know_where_a_position_is():
    attention = randomised(Attention(8, 2, normalization("group", 8, affine=False)))
    images, order = torch.randn(1, 8, 4, 4), torch.randperm(16)
    shuffled = images.flatten(2)[..., order].view_as(images)
    expected = attention(images).flatten(2)[..., order].view_as(images)
    torch.testing.assert_close(attention(shuffled), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.row("U10")
def test_attention_only_where_it_was_chosen():
    network = UNet(1, (8, 16, 16), 2, attention=(False, True, False), attention_heads=2)
    chosen = [
        [isinstance(stage.attention, Attention) for stage in level]
        for level in (*network.down, network.middle, *network.up)
    ]
    assert chosen == [[False] * 2, [True] * 2, [False] * 2, [True] * 2, [False] * 2]


@pytest.mark.row("U2")
def test_an_untrained_pre_activation_block_returns_its_input():
    images, embedding = torch.randn(2, 8, 5, 5), torch.randn(2, 12)
    block = ResidualBlock(8, 8, "group", 12, "scale_shift")
    with torch.no_grad():
        block.second.bias.zero_()
    torch.testing.assert_close(block(images, embedding), images)
    assert isinstance(block.shortcut, nn.Identity)
    assert isinstance(BookBlock(8, 16, "batch", 0, "add").shortcut, nn.Conv2d)


@pytest.mark.row("U2")
def test_the_books_block_by_hand():
    block = BookBlock(8, 16, "batch", 0, "add").eval()
    images = torch.randn(2, 8, 5, 5)
    normed = (images - block.norm.running_mean.view(-1, 1, 1)) / (
        block.norm.running_var.view(-1, 1, 1) + 1e-3
    ).sqrt()
    inside = block.first(normed)
    by_hand = block.shortcut(images) + block.second(inside * torch.sigmoid(inside))
    torch.testing.assert_close(block(images, None), by_hand, atol=1e-5, rtol=1e-5)


@pytest.mark.row("U10")
def test_modulate_adds_or_scales_and_shifts():
    images, embedding = torch.randn(2, 6, 3, 3), torch.randn(2, 5)
    add = Modulate("add", 5, 6)
    torch.testing.assert_close(
        add(images, embedding) - images, add.project(embedding)[..., None, None].expand(2, 6, 3, 3)
    )
    film = Modulate("scale_shift", 5, 6)
    assert torch.equal(film(images, embedding), images)  # it starts as nothing
    randomised(film)
    scale, shift = film.project(embedding)[..., None, None].chunk(2, dim=1)
    torch.testing.assert_close(film(images, embedding), images * (1 + scale) + shift, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("block", ["residual", "book"])
@pytest.mark.parametrize("modulation", ["add", "scale_shift"])
def test_every_block_depends_on_the_noise_level(block, modulation):
    network = randomised(UNet(1, (8, 16), 1, block=block, modulation=modulation))
    images = torch.rand(1, 1, 8, 8)
    assert not torch.allclose(network(images, column(0.1)), network(images, column(0.9)))
    network.zero_grad()
    network(images, column(0.4)).sum().backward()
    for stage in (network.down[0].stages[0], network.middle.stages[0], network.up[0].stages[0]):
        assert stage.block.modulate.project.weight.grad.any()


def test_images_in_a_batch_are_independent():
    network = randomised(UNet(1, (8, 16), 1))
    images, conditions = torch.rand(4, 1, 9, 9), torch.rand(4, 1, 1, 1)
    together = network(images, conditions)
    alone = torch.cat([network(images[i : i + 1], conditions[i : i + 1]) for i in range(4)])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)


def test_arguments_of_the_constructor_are_the_fields_of_the_config():
    parameters = inspect.signature(UNet.__init__).parameters
    for field in dataclasses.fields(UNetConfig):
        assert field.name in parameters
        if field.name != "attention":
            assert parameters[field.name].default == field.default, field.name
    assert UNet().config == UNetConfig()
    config = UNetConfig(channels=2, widths=(8, 16), attention=(True, False), attention_heads=2, patch_size=2)
    assert UNet.from_config(config).config == config


@pytest.mark.parametrize(
    ("choices", "sentence"),
    [
        ({"widths": ()}, "one positive width"),
        ({"widths": (8, 0), "attention": (False, False)}, "one positive width"),
        ({"channels": 0}, "channels must be from 1 to 65,536"),
        ({"block_depth": 0}, "block_depth must be from 1 to 64"),
        ({"attention": (True,)}, "for each of its 4 widths"),
        ({"attention_heads": 7}, "multiples of attention_heads=7"),
        ({"embedding_dim": 33}, "even and from 4 to 65,536"),
        ({"patch_size": 0}, "patch_size must be from 1 to 64"),
        ({"max_frequency": 1.0}, "max_frequency must be above 1"),
    ],
)
def test_unet_config_refuses_contradictions(choices, sentence):
    with pytest.raises(UnnoiseError, match=sentence):
        UNetConfig(**choices)
