"""Roles of weights: stems, heads and embeddings are no hidden layers, however wide; all other layers are."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from unnoise.networks import build
from unnoise.networks.published.unet2d import UNet2D, UNet2DConfig
from unnoise.networks.unet import UNet
from unnoise.optim.optimizers import OptimizerConfig
from unnoise.optim.weight_roles import muon_weights
from unnoise.runs.presets import PRESETS

ENDS = {"stem.weight", "head.weight", "uncertainty.weight", "conv_in.weight", "conv_out.weight"}
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


@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 64, 64), (4, 24, 40)])
@pytest.mark.parametrize("preset", PRESETS)
def test_all_hidden_layers_of_every_preset_and_nothing_else(preset, shape):
    config = PRESETS[preset](*shape).network
    with torch.device("meta"):
        network = build(config)
    found = names(network, "hidden")
    assert found == layer_weights(network)
    assert found.isdisjoint(ENDS)


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
