"""`UNet2D` equals `UNet2DModel` of diffusers: names, shapes, outputs, gradients and configs."""

import json

import pytest
import torch
from diffusers import UNet2DModel
from torch.nn import functional

from helpers.sampling import column
from unnoise.diffusion.conditioning import Abilities
from unnoise.networks import UNet, UNet2D, UNet2DConfig, attention, build
from unnoise.networks.published.unet2d_blocks import UNet2DAttention, UNet2DResNetBlock
from unnoise.networks.resampling import Upsample2D
from unnoise.runs.conversion import plain, structured
from unnoise.runs.recipe import Recipe
from unnoise.utils.errors import UnnoiseError

CHOICES = {
    "attention where it is smallest": {"layers_per_block": 2},
    "attention everywhere, one layer": {"attends": (True, True, True), "layers_per_block": 1},
    "attention in the middle only": {"attends": (False, True, False), "in_channels": 3, "out_channels": 3},
    "one head": {"attention_head_dim": None, "layers_per_block": 1},
    "one level": {"block_out_channels": (16,), "attends": (True,), "layers_per_block": 1},
    "as the models of the DDPM paper": {
        "flip_sin_to_cos": False,
        "freq_shift": 1,
        "downsample_padding": 0,
        "norm_eps": 1e-6,
        "attention_head_dim": None,
    },
}


def diffusers_model(attends=(False, False, True), **choices) -> UNet2DModel:
    """A small model of diffusers whose weights are nowhere zero or one."""
    given = {"in_channels": 1, "out_channels": 1, "block_out_channels": (8, 16, 24), "norm_num_groups": 4}
    down = tuple("AttnDownBlock2D" if each else "DownBlock2D" for each in attends)
    up = tuple("AttnUpBlock2D" if each else "UpBlock2D" for each in reversed(attends))
    torch.manual_seed(1)
    model = UNet2DModel(**(given | {"down_block_types": down, "up_block_types": up} | choices))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model.eval()


def converted(model: UNet2DModel) -> UNet2D:
    network = UNet.diffusers(model.config)
    network.load_state_dict(model.state_dict())
    return network.eval()


@pytest.fixture(params=CHOICES.values(), ids=CHOICES.keys())
def both(request):
    model = diffusers_model(**request.param)
    return model, converted(model)


def inputs(model: UNet2DModel, size=(8, 12)):
    return torch.randn(3, model.config.in_channels, *size), column(0.0, 417.0, 999.0)


# --- equality ------------------------------------------------------------------------------------------------


def test_names_and_shapes_are_those_of_diffusers(both):
    model, network = both
    mine, its = network.state_dict(), model.state_dict()
    assert list(mine) == list(its)
    assert {name: value.shape for name, value in mine.items()} == {n: v.shape for n, v in its.items()}
    UNet2DModel.from_config(model.config).load_state_dict(mine)  # and back


def test_initial_weights_are_those_of_diffusers_for_the_same_seed(both):
    model, network = both
    torch.manual_seed(3)
    its = UNet2DModel.from_config(model.config).state_dict()
    torch.manual_seed(3)
    mine = build(network.config).state_dict()
    assert all(torch.equal(mine[name], value) for name, value in its.items())


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("gradients", [False, True])
def test_outputs_are_those_of_diffusers(both, layout, gradients):
    model, network = both
    images, steps = inputs(model)
    network.to(memory_format=layout)
    with torch.set_grad_enabled(gradients):
        before = images.clone()
        mine, its = network(images, steps), model(images, steps.flatten()).sample
        assert torch.equal(images, before)
    assert its.std() > 0.1
    torch.testing.assert_close(mine, its, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_gradients_are_those_of_diffusers(both, layout):
    model, network = both
    images, steps = inputs(model)
    mine, its = images.clone().requires_grad_(), images.clone().requires_grad_()
    network.train().to(memory_format=layout)
    model.train()
    targets = torch.randn_like(images)
    (network(mine, steps) - targets).square().mean().backward()
    (model(its, steps.flatten()).sample - targets).square().mean().backward()
    expected = {name: parameter.grad for name, parameter in model.named_parameters()}
    for name, parameter in network.named_parameters():
        scale = expected[name].abs().max()
        assert scale > 0 or name.endswith("to_k.bias")  # a softmax does not depend on it
        assert (parameter.grad - expected[name]).abs().max() <= 1e-4 * scale + 1e-7, name
    torch.testing.assert_close(mine.grad, its.grad, atol=1e-6, rtol=1e-4)


def test_each_image_has_its_own_timestep():
    network = converted(diffusers_model())
    images = torch.randn(3, 1, 8, 8)
    steps = (0.0, 500.0, 999.0)
    together = network(images, column(*steps))
    for index, step in enumerate(steps):
        alone = network(images[index : index + 1], column(step))
        torch.testing.assert_close(together[index : index + 1], alone, atol=1e-6, rtol=1e-5)
    assert (network(images, column(0.0, 0.0, 0.0)) - together).abs().amax((1, 2, 3))[1:].min() > 1e-3


def test_dropout_is_that_of_diffusers_for_the_same_seed():
    model = diffusers_model(dropout=0.5, layers_per_block=1)
    network = converted(model)
    assert Abilities(network).dropout
    images, steps = inputs(model)
    network.train()
    model.train()
    torch.manual_seed(5)
    mine = network(images, steps)
    torch.manual_seed(5)
    its = model.to(memory_format=torch.channels_last)(images, steps.flatten()).sample
    torch.testing.assert_close(mine, its, atol=1e-5, rtol=1e-5)
    assert not torch.allclose(network(images, steps), its)


def test_unet2d_in_bfloat16_is_close_and_finite():
    model = diffusers_model()
    network, (images, steps) = converted(model), inputs(model)
    exact = network(images, steps)
    with torch.autocast("cpu", torch.bfloat16):
        output = network(images, steps)
        output.float().square().mean().backward()
        with torch.no_grad():
            assert (network(images, steps) - exact).abs().mean() < 0.1 * exact.abs().mean()
    assert (output - exact).abs().mean() < 0.1 * exact.abs().mean()
    assert all(torch.isfinite(parameter.grad).all() for parameter in network.parameters())


@pytest.mark.parametrize(("height", "width"), [(28, 30), (13, 9), (1, 1), (8, 3)])
def test_unet2d_takes_any_height_and_width(height, width):
    network, images = converted(diffusers_model()), torch.randn(2, 1, height, width)
    output = network(images, column(0.0, 199.0))
    assert output.shape == images.shape
    padded = functional.pad(images, (0, -width % 4, 0, -height % 4), mode="replicate")
    whole = network(padded, column(0.0, 199.0))[..., :height, :width]
    torch.testing.assert_close(output, whole, atol=1e-5, rtol=1e-5)


# --- the parts ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 4), (5, 3)])
def test_upsample2d_equals_nearest_upsampling_and_a_convolution(height, width):
    """Up to the border, with gradients, in float64."""
    layer = Upsample2D(6).double()
    images = torch.randn(2, 6, height, width, dtype=torch.float64, requires_grad=True)
    probe = torch.randn(2, 6, 2 * height, 2 * width, dtype=torch.float64)
    doubled = layer.conv(functional.interpolate(images, scale_factor=2.0, mode="nearest"))
    torch.testing.assert_close(layer(images), doubled, atol=1e-14, rtol=1e-13)
    wanted = (images, layer.conv.weight, layer.conv.bias)
    mine = torch.autograd.grad((layer(images) * probe).sum(), wanted)
    its = torch.autograd.grad((doubled * probe).sum(), wanted)
    torch.testing.assert_close(mine, its, atol=1e-12, rtol=1e-12)


def test_the_transposed_weight_of_upsample2d_is_that_of_its_derivation():
    layer = Upsample2D(5)
    taps = functional.pad(layer.conv.weight, (1, 1, 1, 1))  # the tap k of each axis stands at k + 1
    sums = layer.transposed_weight()
    assert sums.shape == (5, 5, 4, 4)
    for i in range(4):
        for j in range(4):
            rows, columns = (slice(3 - n, 5 - n) for n in (i, j))  # taps 2 - n and 3 - n
            expected = taps[:, :, rows, columns].sum((2, 3)).T
            torch.testing.assert_close(sums[:, :, i, j], expected, atol=1e-6, rtol=1e-6)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(layer.transposed_weight(), sums)


@pytest.mark.parametrize("positions", [1, 7, attention.FEW_POSITIONS, attention.FEW_POSITIONS + 1])
def test_softmax_attention_equals_fused_attention(positions, monkeypatch):
    monkeypatch.setattr(attention, "SCORES_AT_ONCE", 3 * positions**2)  # 10 heads in 4 parts
    given = [torch.randn(2, positions, 5, 8).transpose(1, 2).requires_grad_() for _ in range(3)]
    probe = torch.randn(2, 5, positions, 8)
    mine, its = attention.softmax_attention(*given), functional.scaled_dot_product_attention(*given, scale=1.0)
    torch.testing.assert_close(mine, its, atol=1e-6, rtol=1e-5)
    for left, right in zip(*(torch.autograd.grad((o * probe).sum(), given) for o in (mine, its)), strict=True):
        torch.testing.assert_close(left, right, atol=1e-5, rtol=1e-4)


def test_many_positions_use_fused_attention(monkeypatch):
    lengths = []
    fused = functional.scaled_dot_product_attention

    def counting(query, *others, **more):
        lengths.append(query.shape[-2])
        return fused(query, *others, **more)

    monkeypatch.setattr(functional, "scaled_dot_product_attention", counting)
    network = converted(diffusers_model((True, False, True), layers_per_block=1))
    with torch.no_grad():
        network(torch.randn(1, 1, 16, 16), column(1.0))
    assert lengths == [256] * 3  # and not the 16 positions of the last level


def test_in_place_sums_overwrite_neither_inputs_nor_skips():
    network = converted(diffusers_model((True, True, True)))
    kept, features = [], []

    def keep(_module, given, _output):
        features.append(given[0])
        kept.append(given[0].clone())

    for module in network.modules():
        if isinstance(module, UNet2DResNetBlock | UNet2DAttention):
            module.register_forward_hook(keep)
    with torch.no_grad():
        network(torch.randn(2, 1, 8, 8), column(3.0, 4.0))
    assert len(kept) == 2 * (6 + 9) + 3
    assert all(torch.equal(*each) for each in zip(features, kept, strict=True))


# --- configs ------------------------------------------------------------------------------------------------


def test_a_unet2d_config_is_the_same_after_json(both):
    _, network = both
    config = network.config
    recipe = Recipe(network=config)
    values = json.loads(json.dumps(plain(recipe)))
    assert values["network"]["kind"] == "UNet2DConfig"
    assert structured(values, Recipe, "The recipe") == recipe
    assert isinstance(build(config), UNet2D)


def test_a_diffusers_config_is_read_from_json_as_from_the_model(tmp_path):
    model = diffusers_model(**CHOICES["as the models of the DDPM paper"])
    model.save_config(tmp_path)
    config = UNet2DConfig.from_diffusers(json.loads((tmp_path / "config.json").read_text()))
    assert config == UNet2DConfig.from_diffusers(model.config)
    assert config == UNet2DConfig(
        channels=1,
        widths=(8, 16, 24),
        attention=(False, False, True),
        head_dim=None,
        groups=4,
        eps=1e-6,
        cosines_first=False,
        frequency_shift=1,
        downsample_padding=0,
    )


def test_missing_options_of_a_diffusers_config_have_its_defaults():
    with torch.device("meta"):
        model, network = UNet2DModel(), UNet.diffusers()
    assert UNet2DConfig.from_diffusers({}) == UNet2DConfig.from_diffusers(model.config) == UNet2DConfig()
    assert sum(parameter.numel() for parameter in network.parameters()) == 274_056_163
    assert {n: v.shape for n, v in network.state_dict().items()} == {
        n: v.shape for n, v in model.state_dict().items()
    }


@pytest.mark.parametrize(
    ("choices", "sentence"),
    [
        (
            {"_class_name": "UNet2DConditionModel"},
            "needs the config of a UNet2DModel, but got one of a UNet2DConditionModel",
        ),
        (
            {"down_block_types": ["SkipDownBlock2D"] * 4},
            "blocks must be DownBlock2D or AttnDownBlock2D, but got Skip",
        ),
        ({"up_block_types": ["KUpBlock2D", "UpBlock2D"]}, "UpBlock2D or AttnUpBlock2D, but got KUpBlock2D"),
        ({"up_block_types": ["UpBlock2D"] * 4}, "needs attention at the same levels on the way down and up"),
        ({"resnet_time_scale_shift": "scale_shift"}, "supports only resnet_time_scale_shift 'default'"),
        ({"center_input_sample": True}, "supports only center_input_sample False, but got True"),
        ({"time_embedding_type": "fourier"}, "supports only time_embedding_type 'positional'"),
        ({"downsample_type": "resnet"}, "supports only downsample_type 'conv'"),
        ({"num_class_embeds": 10}, "supports only num_class_embeds None, but got 10"),
        ({"mid_block_type": None}, "supports only mid_block_type 'UNetMidBlock2D'"),
        ({"act_fn": "gelu"}, "supports only act_fn 'silu'"),
        ({"out_channels": 6}, "as many channels as it takes, but got 3 in and 6 out"),
        ({"attn_norm_num_groups": 8}, "have the same groups, but got 32, and 8 for attention"),
        ({"colour": 1, "taste": 2}, "has no option colour, taste. Leave it out"),
    ],
)
def test_unsupported_diffusers_configs_are_refused(choices, sentence):
    with pytest.raises(UnnoiseError, match=sentence):
        UNet2DConfig.from_diffusers(choices)


def test_options_without_effect_are_accepted():
    assert UNet2DConfig.from_diffusers({"act_fn": "swish", "sample_size": 64}) == UNet2DConfig()


@pytest.mark.parametrize(
    ("choices", "sentence"),
    [
        ({"channels": 0}, "channels must be at least 1, but got 0"),
        ({"layers": 0}, "layers must be at least 1, but got 0"),
        ({"groups": 0}, "groups must be at least 1, but got 0"),
        ({"groups": 48}, r"a multiple of its 48 groups, but got \(224"),
        ({"widths": ()}, r"a multiple of its 32 groups, but got \(\)"),
        (
            {"widths": (3,), "attention": (False,), "groups": 1},
            "first width must be even and at least 4, but got 3",
        ),
        ({"attention": (True,)}, "true or false for each of 4 levels, but got"),
        ({"head_dim": 0}, "head_dim must divide all widths with attention"),
        ({"head_dim": 100}, "got 100 for .*None means one head"),
        ({"dropout": 1.0}, "dropout must be at least 0 and below 1, but got 1"),
        ({"eps": 0.0}, "eps must be above 0, but got 0"),
        ({"frequency_shift": 2}, "frequency_shift must be 0 or 1, but got 2"),
        ({"downsample_padding": 2}, "downsample_padding must be 0 or 1, but got 2"),
    ],
)
def test_unet2d_config_refuses_contradictions(choices, sentence):
    with pytest.raises(UnnoiseError, match=sentence):
        UNet2DConfig(**choices)


def test_unet2d_refuses_classes_and_previous_images():
    network, images = converted(diffusers_model()), torch.randn(2, 1, 8, 8)
    with pytest.raises(UnnoiseError, match=r"knows no classes\. Use UNet"):
        network(images, column(1.0, 2.0), torch.tensor([0, 1]))
    with pytest.raises(UnnoiseError, match=r"takes no previous images\. Use UNet"):
        network(images, column(1.0, 2.0), None, images)
