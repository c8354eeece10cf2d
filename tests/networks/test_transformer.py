"""Transformer for pixels: sizes, what it is told, what it starts as, and its operations level by level."""

from dataclasses import replace

import pytest
import torch

from unnoise.networks.transformer import Transformer, TransformerConfig
from unnoise.utils.device_speed import count_flops
from unnoise.utils.errors import UnnoiseError

SMALL = TransformerConfig(
    channels=2, patch_size=2, widths=(16, 32), depths=(2, 2), window=4, head_dim=8, embedding_dim=8
)


def network(config=SMALL, *, trained=True):
    """A network with random weights in place of its zeros."""
    torch.manual_seed(0)
    built = Transformer(config).eval()
    if trained:
        for parameter in built.parameters():
            torch.nn.init.normal_(parameter, std=0.1)
    return built


def inputs(batch=2, height=16, width=16, channels=2):
    torch.manual_seed(1)
    return torch.randn(batch, channels, height, width), torch.rand(batch, 1, 1, 1)


def test_an_untrained_network_returns_exactly_zero():
    assert not network(trained=False)(*inputs()).any()


def test_untrained_blocks_return_their_input():
    block = Transformer(SMALL).down[0].last
    tokens = torch.randn(2, 8, 8, 16)
    assert torch.equal(block(tokens, torch.randn(2, 32)), tokens)


@pytest.mark.parametrize(("height", "width"), [(16, 16), (13, 22), (4, 43), (1, 1)])
def test_pictures_of_any_size_keep_it(height, width):
    channels = 1 + width % 4
    images, told = inputs(height=height, width=width, channels=channels)
    output = network(replace(SMALL, channels=channels))(images, told)
    assert output.shape == images.shape
    assert output.abs().sum() > 0


def test_each_image_of_a_batch_is_for_itself():
    built, (images, told) = network(), inputs(4)
    torch.testing.assert_close(built(images, told)[2:], built(images[2:], told[2:]))


def test_merging_tokens_and_splitting_them_again_changes_nothing():
    """With the weights of the two layers the identity, the coarser level hands on what it got."""
    config = replace(SMALL, widths=(8, 32), depths=(1, 1))
    built = network(config, trained=False)
    for layer in (built.merge[0], built.split[0]):
        torch.nn.init.eye_(layer.weight)
    torch.nn.init.ones_(built.mix[0])  # only what comes from below, no skip
    seen = []
    built.down[0].last.register_forward_hook(lambda _, __, output: seen.append(output))
    built.up[0].last.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    built(*inputs())
    torch.testing.assert_close(seen[1], seen[0])


def test_one_level_without_windows_is_a_plain_vit():
    config = replace(SMALL, widths=(32,), depths=(3,), window=0)
    built, (images, told) = network(config), inputs()
    assert len(built.down) == len(built.up) == 0
    moved = images.clone()
    moved[:, :, 0, 0] += 1  # every output pixel sees every input pixel
    assert ((built(moved, told) - built(images, told)).abs().amax((0, 1)) > 0).all()


def test_windows_bound_what_a_block_above_sees():
    built = network(replace(SMALL, depths=(1, 1)))
    tokens, told = torch.randn(1, 8, 8, 16), torch.randn(1, 32)
    moved = tokens.clone()
    moved[:, 0, 0] += 1
    change = (built.down[0].last(moved, told) - built.down[0].last(tokens, told)).abs().amax((0, 3)) > 0
    assert change[:4, :4].all()
    assert change.sum() == 16


@pytest.mark.parametrize(
    ("widths", "window", "multiple"), [((16,), 4, 2), ((16, 32), 0, 4), ((16, 32), 4, 4), ((16, 16, 16), 3, 8)]
)
def test_sizes_are_rounded_up_to_whole_tokens_of_the_last_level(widths, window, multiple):
    """Of tokens of 2 x 2 pixels, halved at each level; windows do not have to be whole."""
    assert replace(SMALL, widths=widths, depths=(1,) * len(widths), window=window).size_multiple == multiple


def test_classes_previous_images_and_step_lengths_are_told():
    config = replace(SMALL, num_classes=3, self_conditioning=True, step_length=True, uncertainty=True)
    built, (images, told) = network(config), inputs()
    plain = built(images, told)
    assert plain.shape[1] == 3  # two channels, and the uncertainty
    assert plain[:, 2].flatten(1).std(dim=1).max() == 0
    length = torch.full((2, 1, 1, 1), 0.5)
    for more in (
        {"classes": torch.tensor([0, 2])},
        {"previous_images": images},
        {"step_lengths": length},
    ):
        assert not torch.allclose(built(images, told, **more), plain)
        with pytest.raises(UnnoiseError, match="Build it with"):
            network()(images, told, **more)
    assert torch.equal(built(images, told, classes=torch.tensor([3, 3])), plain)


def test_bfloat16_is_near_float32():
    built, (images, told) = network(), inputs()
    with torch.autocast("cpu", torch.bfloat16):
        half = built(images, told).float()
    whole = built(images, told)
    assert (half - whole).abs().mean() < 0.03 * whole.abs().mean()


def test_activations_that_are_computed_again_give_the_same_gradients():
    built, (images, told) = network().train(), inputs()
    gradients = []
    for built.checkpointing in (False, True):
        built.zero_grad()
        built(images, told).square().sum().backward()
        gradients.append([parameter.grad.clone() for parameter in built.parameters()])
    for plain, again in zip(*gradients, strict=True):
        torch.testing.assert_close(again, plain)


def test_operations_of_each_level_are_those_of_its_products():
    """2 N w^2 (4 + 3 expansion) for the dense layers of a block, and 4 N K w for N tokens that see K others."""

    def block(tokens, width, seen):
        return 2 * tokens * width**2 * (4 + 3 * SMALL.expansion) + 4 * tokens * seen * width

    def told(width):  # two adaptive norms
        return 2 * 2 * width * 4 * SMALL.embedding_dim

    # 16 x 16 pixels are 8 x 8 tokens of 16 features in windows of 4 x 4, and 4 x 4 tokens of 32 features.
    above = 4 * (block(64, 16, 16) + told(16))
    above += 2 * (4 * (9 * 16 - 64) * 16 * 16)  # the windows of two blocks are shifted: 3 x 3 of 16 tokens
    between = 2 * (2 * 16 * 64 * 32)  # four tokens to one, and one to four
    below = 2 * (block(16, 32, 16) + told(32))
    ends = 2 * 64 * 16 * 8 * 2 + 2 * 16 * 32
    embedding = 2 * (8 * 32 + 32 * 32)
    built, given = network(), inputs(1)
    assert count_flops(lambda: built(*given)) == above + between + below + ends + embedding


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"depths": (2,)}, "each with a width and a depth"),
        ({"widths": (16, 30)}, "multiple of 4 that divides all widths"),
        ({"head_dim": 6}, "multiple of 4"),
        ({"patch_size": 0}, "patch_size"),
        ({"window": -1}, "window"),
        ({"expansion": 0.0}, "expansion"),
        ({"embedding_dim": 7}, "even"),
        ({"max_frequency": 1.0}, "max_frequency"),
    ],
)
def test_choices_out_of_range_are_refused(change, sentence):
    with pytest.raises(UnnoiseError, match=sentence):
        replace(SMALL, **change)
