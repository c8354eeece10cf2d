"""Roles of weights: stems, heads and embeddings are no hidden layers, however wide; all other layers are."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from unnoise.networks import build
from unnoise.networks.published.unet2d import UNet2D, UNet2DConfig
from unnoise.networks.unet import UNet
from unnoise.networks.unet_config import UNetConfig
from unnoise.optim.optimizers import OptimizerConfig
from unnoise.optim.weight_roles import muon_weights
from unnoise.runs.presets import PRESETS

ENDS = {"stem.weight", "head.weight", "uncertainty.weight", "conv_in.weight", "conv_out.weight"}
ENDS |= {"pixel_head.enter.weight", "pixel_head.leave.weight"}  # of pixels, as stem and head are of patches
LAYERS = (nn.Linear, nn.Conv2d)


def names(network, which):
    moved = {id(weight) for weight in muon_weights(network, which)}
    return {name for name, weight in network.named_parameters() if id(weight) in moved}


def layer_weights(network):
    """Weights of layers with more than one input and output channel, but for stems and heads."""
    return {
        f"{name}.weight"
        for name, module in network.named_modules()
        if isinstance(module, LAYERS) and min(module.weight.shape[:2]) > 1
    } - ENDS


def networks(preset, shape):
    """The network of a preset, and where it can have classes that with ten."""
    config = PRESETS[preset](*shape).network
    with torch.device("meta"):
        yield build(config)
        if isinstance(config, UNetConfig):
            yield build(replace(config, num_classes=10, self_conditioning=True, uncertainty=True))


SHAPES = [(1, 16, 16), (3, 32, 32), (4, 24, 40), (1, 64, 64), (3, 128, 128), (3, 256, 256)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("preset", PRESETS)
def test_all_hidden_layers_of_every_preset_and_nothing_else(preset, shape):
    for network in networks(preset, shape):
        found = names(network, "hidden")
        assert found == layer_weights(network)
        assert found.isdisjoint(ENDS | {"classes.weight"})


@pytest.mark.parametrize("preset", PRESETS)
def test_older_runs_find_their_states_in_the_same_order(preset):
    """A state names parameters by their places: first all wide ones, then the others."""
    for network in networks(preset, (3, 32, 32)):
        weights = [*network.parameters()]
        wide = [
            weight
            for weight in weights
            if weight.ndim >= 2 and min(len(weight), weight[0].numel()) >= 16 and weight.shape[1] > 1
        ]
        chosen = set(map(id, wide))
        expected = wide + [weight for weight in weights if id(weight) not in chosen]
        groups = OptimizerConfig(name="muon", muon="wide").build(network).param_groups
        assert [id(weight) for group in groups for weight in group["params"]] == list(map(id, expected))
        assert len(groups[0]["params"]) == len(wide)


def test_wide_stems_heads_and_tables_of_classes_are_left_out():
    """A patch of 4 x 4 in RGB with self-conditioning has a stem of 96 channels and a head of 48."""
    network = UNet(3, (32, 64), patch_size=4, num_classes=1000, self_conditioning=True, uncertainty=True)
    hidden, wide = names(network, "hidden"), names(network, "wide")
    assert wide - hidden == {"stem.weight", "head.weight", "classes.weight"}


def test_narrow_hidden_layers_count_and_depthwise_filters_do_not():
    network = UNet(1, (8, 16), block="convnext", block_depth=1)
    hidden = names(network, "hidden")
    assert {name for name in hidden if min(dict(network.named_parameters())[name].shape[:2]) < 16}
    assert not [name for name in hidden if "depthwise" in name]


def test_a_network_of_diffusers_has_its_own_names():
    network = UNet2D(
        UNet2DConfig.from_diffusers(
            {
                "block_out_channels": [32, 64],
                "layers_per_block": 1,
                "down_block_types": ["DownBlock2D", "AttnDownBlock2D"],
                "up_block_types": ["AttnUpBlock2D", "UpBlock2D"],
            }
        )
    )
    assert names(network, "hidden") == layer_weights(network)


def test_of_another_network_the_first_and_last_layer_are_its_ends():
    network = nn.Sequential(nn.Linear(32, 32), nn.Linear(32, 32), nn.Embedding(32, 32), nn.Linear(32, 32))
    assert names(network, "hidden") == {"1.weight"}


def test_the_optimiser_moves_the_rest_by_adamw_and_frozen_weights_not_at_all():
    network = UNet(1, (8, 16), block_depth=1)
    network.dense.requires_grad_(False)
    config = OptimizerConfig(name="muon")
    matrices, others = config.build(network).param_groups
    learns = {id(weight) for weight in network.parameters() if weight.requires_grad}
    assert {id(weight) for group in (matrices, others) for weight in group["params"]} == learns
    moved = {id(weight) for weight in muon_weights(network, "hidden")} & learns
    assert {id(weight) for weight in matrices["params"]} == moved
    wide, _ = replace(config, muon="wide").build(network).param_groups
    assert len(wide["params"]) < len(matrices["params"])
