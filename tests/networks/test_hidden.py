"""Hidden features of a U-Net are those of its own forward pass, which goes on as before."""

import torch
from torch.nn import functional

from unnoise.networks import Transformer, TransformerConfig, UNet


def network():
    torch.manual_seed(3)
    built = UNet(2, (8, 16, 24), 2, patch_size=2, num_classes=3).eval()
    for parameter in built.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return built


def test_hidden_features_are_the_last_of_each_level_on_the_way_down():
    built, images, told = network(), torch.randn(3, 2, 20, 12), torch.rand(3, 1, 1, 1)
    classes = torch.tensor([0, 1, 2])
    found = built.hidden(images, told, classes)
    assert [each.shape[1:] for each in found] == [(8, 12, 8), (16, 6, 4), (24, 3, 2)]  # padded to 24 x 16
    # From the features of one level the next follow by its own stages.
    embedding = built.dense[:-1](built.embed(told)) + built.classes(classes)
    embedding = built.dense[-1](embedding)
    hidden = found[0]
    for level, wanted in zip((built.down[1], built.middle), found[1:], strict=True):
        hidden = functional.avg_pool2d(hidden, 2)
        for stage in level:
            hidden = stage(hidden, embedding)
        torch.testing.assert_close(hidden, wanted)


def test_a_transformer_has_the_features_of_its_tokens():
    config = TransformerConfig(channels=2, patch_size=2, widths=(8, 16), depths=(2, 1), window=2, head_dim=8)
    built, images, told = Transformer(config).eval(), torch.randn(3, 2, 20, 12), torch.rand(3, 1, 1, 1)
    above, below = built.hidden(images, told)
    assert above.shape == (3, 8, 10, 6)
    # Untrained blocks return their input.
    patches = functional.pixel_unshuffle(images, 2).permute(0, 2, 3, 1)
    torch.testing.assert_close(above, built.stem(patches).permute(0, 3, 1, 2))
    assert below.shape == (3, 16, 5, 3)


def test_looking_at_hidden_features_leaves_the_network_as_it_was():
    built, images, told = network(), torch.randn(2, 2, 8, 8), torch.rand(2, 1, 1, 1)
    before = built(images, told)
    built.hidden(images, told)
    assert torch.equal(built(images, told), before)


def test_gradients_reach_what_is_looked_at():
    built, told = network().requires_grad_(False), torch.rand(2, 1, 1, 1)
    images = torch.randn(2, 2, 8, 8, dtype=torch.float32).requires_grad_()
    built.hidden(images, told)[-1].square().sum().backward()
    assert (images.grad.abs().flatten(1).sum(1) > 0).all()
