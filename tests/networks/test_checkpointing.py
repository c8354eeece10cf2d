"""Activation checkpointing: the same gradients, dropout masks and statistics in less memory."""

import copy

import pytest
import torch
from torch import nn

from helpers.sampling import column
from unnoise.networks import AnnotatedConfig, UNet, UNet2DConfig, UNetConfig, build

WIDE = {"channels": 2, "widths": (8, 16), "attention": ("none", "full"), "num_classes": 3}
UNETS = [
    UNetConfig(**WIDE, block_depth=2, dropout=0.3),
    UNetConfig(**WIDE, block="convnext", dropout=0.2),
    UNetConfig(**WIDE, block="resnet", attention_heads=2),
    UNetConfig(**WIDE, block="book", normalization="batch", embedding="input", upsampling="bilinear"),
    UNetConfig(**{**WIDE, "attention": ("linear", "linear")}, patch_size=2),
    UNetConfig(**WIDE, patch_size=4, input_skip=True, pixel_width=32),  # most are of the head for pixels
]
STUDIES = ("convnext", "resnet", "ddpm_study")
OTHERS = [
    *(AnnotatedConfig(study=study, dim=8, multipliers=(1, 2)) for study in STUDIES),
    UNet2DConfig(
        channels=1, widths=(8, 16), layers=1, attention=(False, True), head_dim=8, groups=4, dropout=0.3
    ),
]


def randomised(config) -> nn.Module:
    torch.manual_seed(0)
    network = build(config).train()
    with torch.no_grad():
        for parameter in network.parameters():
            if not parameter.any():
                parameter.normal_(std=0.1)
    return network


def saved_bytes(run) -> int:
    """Bytes that the backward pass keeps, each tensor once."""
    kept = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        run()
    return sum(kept.values())


def learned(network: nn.Module, images: torch.Tensor) -> tuple[dict[str, torch.Tensor], int]:
    """Gradients and statistics after two steps with dropout of one seed, and the bytes kept for them."""
    classes = {"classes": torch.arange(len(images)) % 4} if isinstance(network, UNet) else {}
    conditions = column(*torch.linspace(0.1, 0.9, len(images)).tolist())
    with torch.random.fork_rng():
        torch.manual_seed(1)

        def losses() -> torch.Tensor:
            return sum(network(images, conditions, **classes).square().mean() for _ in range(2))

        held = [None]
        size = saved_bytes(lambda: held.__setitem__(0, losses()))
        held[0].backward()
    found = {name: parameter.grad for name, parameter in network.named_parameters()}
    return {**found, **dict(network.named_buffers())}, size


@pytest.mark.parametrize("config", [*UNETS, *OTHERS])
def test_checkpointing_changes_the_memory_and_nothing_else(config):
    plain = randomised(config)
    other = copy.deepcopy(plain)
    other.checkpointing = True
    images = torch.randn(4, config.channels, 16, 12)
    (wanted, much), (found, little) = learned(plain, images), learned(other, images)
    assert found.keys() == wanted.keys()
    for name, tensor in wanted.items():
        if tensor is None:  # the last layer's bias of a network without a use for it
            assert found[name] is None
        else:
            torch.testing.assert_close(found[name], tensor, rtol=1e-5, atol=1e-6, msg=name)
    assert little < 0.7 * much
    assert plain.state_dict().keys() == other.state_dict().keys()


def test_deeper_networks_keep_a_smaller_share():
    shares = []
    for depth in (1, 3):
        plain = randomised(UNetConfig(**WIDE, block_depth=depth))
        other = copy.deepcopy(plain)
        other.checkpointing = True
        images = torch.randn(2, 2, 32, 32)
        shares.append(learned(other, images)[1] / learned(plain, images)[1])
    assert shares[1] < shares[0] < 0.6


def test_without_gradients_nothing_is_computed_twice():
    network, calls = randomised(UNETS[0]), []
    network.checkpointing = True
    network.middle.stages[0].register_forward_pre_hook(lambda *_: calls.append(1))
    images, conditions = torch.randn(2, 2, 8, 8), column(0.2, 0.4)
    with torch.no_grad():
        network(images, conditions)
    network.eval()(images, conditions)
    assert len(calls) == 2
    network.train()(images, conditions).sum().backward()
    assert len(calls) == 4


def test_checkpointing_under_bfloat16_computes_in_the_same_precision():
    plain = randomised(UNETS[0])
    other = copy.deepcopy(plain)
    other.checkpointing = True
    images = torch.randn(2, 2, 16, 16)
    with torch.autocast("cpu", torch.bfloat16):
        wanted, found = learned(plain, images)[0], learned(other, images)[0]
    assert all(torch.equal(found[name], tensor) for name, tensor in wanted.items() if tensor is not None)
