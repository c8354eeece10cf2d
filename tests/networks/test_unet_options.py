"""Options of `UNet`: each has its effect, changes nothing before training, and trains every parameter."""

import json
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from torch import nn

from helpers.sampling import column
from unnoise.diffusion.normalizer import Normalizer
from unnoise.networks import UNet, UNetConfig
from unnoise.networks.attention import Attention, LinearAttention
from unnoise.networks.convnext import ConvNeXtBlock
from unnoise.networks.embeddings import TimestepEmbedding
from unnoise.networks.resnet import ResNetBlock
from unnoise.runs.config import RunConfig
from unnoise.runs.data_config import DataConfig
from unnoise.runs.presets import recipe
from unnoise.utils.errors import UnnoiseError

BLOCKS = ("residual", "book", "resnet", "convnext")
EXTRAS = {
    "plain": {},
    "all": {
        "num_classes": 3,
        "self_conditioning": True,
        "learned_variance": True,
        "uncertainty": True,
        "step_length": True,
        "dropout": 0.1,
    },
}


def small(**choices) -> UNet:
    return UNet(**{"channels": 2, "widths": (16, 32), "block_depth": 1, "embedding_dim": 8} | choices)


def randomised(network: nn.Module) -> nn.Module:
    with torch.no_grad():
        for parameter in network.parameters():
            if not parameter.any():
                parameter.normal_(std=0.1)
    return network.eval()


def test_blocks_and_attention_are_where_the_config_puts_them():
    network = UNet(1, (8, 16, 16), 1, block="convnext", attention=("linear", "none", "full"))
    kinds = [type(stage.attention) for level in (*network.down, network.middle, *network.up) for stage in level]
    assert kinds == [LinearAttention, nn.Identity, Attention, nn.Identity, LinearAttention]
    assert isinstance(network.middle.stages[0].block, ConvNeXtBlock)
    assert isinstance(small(block="resnet").up[0].stages[0].block, ResNetBlock)


@pytest.mark.parametrize("attention", ["none", "linear", "full"])
@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize("extras", EXTRAS)
def test_gradients_reach_every_parameter(block, attention, extras):
    """After a few steps: layers that start at zero block the gradients of those before them."""
    network = small(block=block, attention=(attention,) * 2, **EXTRAS[extras]).double()
    network.embed.register_forward_hook(lambda _m, _i, output: output.double())
    images, conditions = torch.randn(2, 2, 4, 3).double(), column(0.1, 0.7, dtype=torch.float64)
    inputs = (torch.tensor([0, 3]), torch.randn_like(images), column(0.1, 0.9)) if extras == "all" else ()
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    for _ in range(4):
        output = network(images, conditions, *inputs)
        optimizer.zero_grad()
        (output - torch.randn_like(output)).square().mean().backward()
        optimizer.step()
    dead = [name for name, p in network.named_parameters() if p.grad is None or p.grad.abs().max() < 1e-10]
    assert not dead


@pytest.mark.parametrize("attention", ["linear", "full"])
@pytest.mark.parametrize("block", BLOCKS)
def test_bfloat16_and_channels_last_give_the_same_output(block, attention):
    extras = EXTRAS["all"] | {"uncertainty": False}  # whose one number needs no layout
    network = randomised(small(block=block, attention=(attention,) * 2, **extras))
    images, conditions = torch.randn(2, 2, 8, 8), column(0.2, 0.8)
    exact = network(images, conditions)
    with torch.autocast("cpu", torch.bfloat16):
        rough = network(images, conditions)
    assert torch.isfinite(rough).all()
    assert (rough - exact).abs().mean() < 0.1 * exact.abs().mean()
    network.to(memory_format=torch.channels_last)
    again = network(images.to(memory_format=torch.channels_last), conditions)
    assert again.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(again, exact, atol=1e-5, rtol=1e-5)


@pytest.mark.row("H20")
@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize(("height", "width"), [(28, 28), (13, 21), (1, 1)])
def test_every_block_takes_any_height_and_width(block, height, width):
    network = randomised(UNet(1, (8, 8, 8, 16), 1, block=block, attention=("none", "linear", "linear", "full")))
    output = network(torch.randn(2, 1, height, width), column(0.2, 0.8))
    assert output.shape == (2, 1, height, width)
    assert torch.isfinite(output).all()


@pytest.mark.parametrize("embedding", ["blocks", "input"])
def test_class_embeddings_start_at_zero_and_then_change_the_output(embedding):
    network = small(num_classes=3, embedding=embedding).eval()
    with torch.no_grad():
        network.head.weight.normal_(std=0.1)
        network.middle.stages[0].block.second.weight.normal_(std=0.1)
        if embedding == "blocks":
            network.middle.stages[0].block.modulate.project.weight.normal_(std=0.5)
    images, conditions = torch.randn(4, 2, 8, 8), column(0.2, 0.4, 0.6, 0.8)
    unconditioned = network(images, conditions)
    classes = torch.tensor([0, 1, 2, 3])
    assert torch.equal(network(images, conditions, classes), unconditioned)
    with torch.no_grad():
        network.classes.weight[:3].normal_()
    conditioned = network(images, conditions, classes)
    changed = (conditioned - unconditioned).abs().amax(dim=(1, 2, 3))
    assert (changed[:3] > 1e-4).all()
    assert changed[3] == 0  # the last row is no class
    assert network.classes.weight.shape[0] == 4


def test_optional_layers_do_not_change_the_initial_weights_of_others():
    torch.manual_seed(5)
    plain = small()
    torch.manual_seed(5)
    more = small(**(EXTRAS["all"] | {"self_conditioning": False, "learned_variance": False}))
    state = more.state_dict()
    for name, tensor in plain.state_dict().items():
        assert torch.equal(state[name], tensor), name


@pytest.mark.row("L4")
def test_self_conditioning_takes_the_previous_prediction():
    network = randomised(small(self_conditioning=True, patch_size=2))
    assert network.stem.in_channels == 2 * small(patch_size=2).stem.in_channels
    images, conditions, before = torch.randn(2, 2, 7, 8), column(0.2, 0.4), torch.randn(2, 2, 7, 8)
    alone = network(images, conditions)
    assert torch.equal(network(images, conditions, None, torch.zeros_like(images)), alone)
    assert not torch.allclose(network(images, conditions, None, before), alone)
    assert alone.shape == images.shape


@pytest.mark.parametrize("patch_size", [1, 2])
def test_a_learned_variance_doubles_the_output_channels(patch_size):
    network = small(learned_variance=True, patch_size=patch_size)
    images, conditions = torch.randn(2, 2, 7, 8), column(0.2, 0.4)
    assert not network(images, conditions).any()
    with torch.no_grad():  # the bias of the first half reaches the first half only
        network.head.bias[: 2 * patch_size**2].fill_(1)
    output = network(images, conditions)
    assert output.shape == (2, 4, 7, 8)
    assert torch.equal(output[:, :2], torch.ones(2, 2, 7, 8))
    assert not output[:, 2:].any()


@pytest.mark.parametrize("embedding", ["blocks", "input"])
def test_uncertainty_depends_on_the_noise_level_only(embedding):
    network = small(uncertainty=True, num_classes=3, embedding=embedding, learned_variance=True)
    images, conditions = torch.randn(3, 2, 7, 8), column(0.2, 0.4, 0.4)
    assert not network(images, conditions)[:, -1].any()
    randomised(network)
    output = network(images, conditions, torch.tensor([0, 1, 2]))
    assert output.shape == (3, 5, 7, 8)
    last = output[:, -1]
    assert torch.equal(last, last[:, :1, :1].expand_as(last))
    assert torch.equal(last[1], last[2])  # whatever the picture and its class
    assert last[0, 0, 0] != last[1, 0, 0]
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(network(images, conditions)[:, -1], last)


@pytest.mark.row("H9")
def test_step_indices_can_be_the_condition():
    network = randomised(small(frequencies="timesteps"))
    assert isinstance(network.embed, TimestepEmbedding)
    images = torch.randn(1, 2, 8, 8)
    outputs = [network(images, column(step)) for step in (0.0, 1.0, 500.0, 999.0)]
    for left, right in pairwise(outputs):
        assert not torch.allclose(left, right, atol=1e-5)


def test_dropout_acts_in_training_only():
    network = randomised(small(dropout=0.5))
    images, conditions = torch.randn(2, 2, 8, 8), column(0.2, 0.4)
    assert torch.equal(network(images, conditions), network(images, conditions))
    network.train()
    assert not torch.equal(network(images, conditions), network(images, conditions))


def test_optional_inputs_are_refused_without_their_options():
    images, conditions = torch.randn(2, 2, 8, 8), column(0.2, 0.4)
    with pytest.raises(UnnoiseError, match=r"knows no classes\. Build it with num_classes"):
        small()(images, conditions, torch.tensor([0, 1]))
    with pytest.raises(UnnoiseError, match=r"takes no previous images\. Build it with self_conditioning"):
        small()(images, conditions, None, images)
    with pytest.raises(UnnoiseError, match=r"knows no step lengths\. Build it with step_length"):
        small()(images, conditions, step_lengths=conditions)


@pytest.mark.parametrize("embedding", ["blocks", "input"])
def test_step_lengths_start_without_effect_and_then_change_the_output_of_steps_with_length(embedding):
    network = small(step_length=True, embedding=embedding)
    untold = network.step_length.project.weight
    for parameter in network.parameters():  # the head starts at zero, too, and so does modulation
        if not parameter.any() and parameter is not untold:
            torch.nn.init.normal_(parameter)
    images, conditions, lengths = torch.randn(2, 2, 8, 8), column(0.5, 0.6), column(0.0, 0.4)
    alone = network(images, conditions)
    assert torch.equal(network(images, conditions, step_lengths=lengths), alone)
    torch.nn.init.normal_(untold)
    told = network(images, conditions, step_lengths=lengths)
    torch.testing.assert_close(told[0], alone[0])  # a step of no length
    assert (told[1] - alone[1]).abs().max() > 1e-3


@pytest.mark.parametrize(
    ("choices", "sentence"),
    [
        ({"dropout": 1.0}, "dropout must be at least 0 and below 1"),
        ({"dropout": -0.1}, "dropout must be at least 0 and below 1"),
        ({"num_classes": -1}, "num_classes must be from 0 to 1,000,000, but got -1"),
        ({"block": "convnext", "normalization": "batch"}, "convnext block has its own norms"),
        ({"attention": ("linear", "none"), "attention_heads": 3}, "multiples of attention_heads=3"),
    ],
)
def test_unet_config_refuses_contradicting_options(choices, sentence):
    with pytest.raises(UnnoiseError, match=sentence):
        UNetConfig(**{"widths": (8, 16), "attention": (False, True)} | choices)


def run_json(attention) -> str:
    config = RunConfig(
        data=DataConfig(source="digits", height=8, width=8, channels=1),
        normalizer=Normalizer((0.5,), (0.25,)),
        recipe=recipe("clear-ddim", 1, 8, 8),
    )
    data = json.loads(config.to_json())
    assert data["recipe"]["network"]["attention"] == ["none", "none", "full", "full"]
    data["recipe"]["network"]["attention"] = attention
    return json.dumps(data)


@pytest.mark.parametrize(
    ("attention", "expected"),
    [
        ([False, False, True, True], ("none", "none", "full", "full")),
        (["linear", "none", "linear", "full"], ("linear", "none", "linear", "full")),
        ([True, "linear", False, "none"], ("full", "linear", "none", "none")),
    ],
)
def test_attention_is_read_from_names_and_from_booleans_of_older_runs(attention, expected):
    config = RunConfig.from_json(run_json(attention), Path("config.json"))
    assert config.recipe.network.attention == expected
    assert RunConfig.from_json(config.to_json(), Path("config.json")) == config


@pytest.mark.parametrize("wrong", ["half", 1, None, ["full"]])
def test_unknown_attention_in_a_config_is_refused(wrong):
    with pytest.raises(UnnoiseError) as caught:
        RunConfig.from_json(run_json(["none", "none", "none", wrong]), Path("config.json"))
    assert f"expected none, linear, full, true or false, got {wrong!r}" in str(caught.value)
