"""`AnnotatedUNet` has the published parameters, layer by layer, and takes any image size."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from helpers.sampling import column
from unnoise.networks import AnnotatedConfig, AnnotatedUNet, UNet, UNetConfig, build
from unnoise.networks.attention import Attention, LinearAttention
from unnoise.networks.norms import ChannelLayerNorm, RMSNorm
from unnoise.networks.resampling import UnshuffleConv2d, UpsampleConv2d
from unnoise.networks.resnet import WeightStandardizedConv2d
from unnoise.utils.errors import UnnoiseError

STUDIES = {
    "convnext": UNet.annotated_convnext,
    "resnet": UNet.annotated_resnet,
    "ddpm_study": lambda: UNet.ddpm_study(1, 28, (1, 2, 4), groups=4),
}


def small(study: str) -> AnnotatedUNet:
    return build(AnnotatedConfig(study=study, channels=3, dim=8, multipliers=(1, 2, 3)))


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def conv(before: int, after: int, kernel: int = 1) -> int:
    return (before * kernel**2 + 1) * after


def attention(width: int, pre_norm: int, out_norm: int = 0, memory_tokens: int = 0) -> int:
    return pre_norm + 3 * 128 * width + conv(128, width) + out_norm + 2 * 4 * memory_tokens * 32


@pytest.mark.row("H18")
def test_annotated_convnext_has_the_published_number_of_parameters():
    network = UNet.annotated_convnext()
    assert count(network) == 2_996_315
    assert network.config.widths == (18, 28, 56, 112)
    assert network.stem.weight.shape == (18, 1, 7, 7)


@pytest.mark.row("H18")
def test_every_layer_of_annotated_convnext_has_the_published_parameters():
    network = UNet.annotated_convnext()

    def block(before, after, step_embedding=112):
        mixing = conv(before, 2 * after, 3) + conv(2 * after, after, 3)
        entry = 50 * before + (conv(step_embedding, before) if step_embedding else 0) + 2 * before + 4 * after
        return entry + mixing + (conv(before, after) if before != after else 0)

    def linear(width):
        return attention(width, 2 * width, 2 * width)

    assert count(network.dense) == conv(28, 112) + conv(112, 112)
    down = [(18, 28), (28, 56), (56, 112)]
    for (before, after), level in zip(down, network.down, strict=True):
        resize = conv(after, after, 4) if after < 112 else 0
        assert count(level) == block(before, after) + block(after, after) + linear(after) + resize
    assert count(network.middle_first) == count(network.middle_second) == block(112, 112)
    assert count(network.middle_attention) == attention(112, 2 * 112)
    for (after, before), level in zip([(56, 112), (28, 56)], network.up, strict=True):
        blocks = block(2 * before, after) + block(after, after)
        assert count(level) == blocks + linear(after) + conv(after, after, 4)
    assert count(network.final) == block(28, 28, step_embedding=0)
    assert count(network.head) == conv(28, 1)


@pytest.mark.row("H19")
@pytest.mark.parametrize(
    ("network", "parameters", "stem"),
    [
        (UNet.annotated_resnet, 2_020_257, 1),
        (lambda: UNet.ddpm_study(1, 28, (1, 2, 4), 4), 2_027_873, 7),
        (UNet.ddpm_study, 35_719_555, 7),
    ],
    ids=["resnet", "ddpm_study", "ddpm_study-large"],
)
def test_the_later_studies_have_the_published_number_of_parameters(network, parameters, stem):
    network = network()
    assert count(network) == parameters
    assert network.stem.kernel_size == (stem, stem)


@pytest.mark.row("H19")
@pytest.mark.parametrize("study", ["resnet", "ddpm_study"])
def test_every_layer_of_the_later_studies_has_the_published_parameters(study):
    network = STUDIES[study]()

    def block(before, after):
        norms_and_time = 2 * 2 * after + conv(112, 2 * after)
        shortcut = conv(before, after) if before != after else 0
        return conv(before, after, 3) + conv(after, after, 3) + norms_and_time + shortcut

    def attended(width, full):
        norm, tokens = (2 * width, 0) if study == "resnet" else (width, 4)
        return attention(width, norm, 0 if full else norm, tokens)

    levels = [(28, 28), (28, 56), (56, 112)]
    for i, (before, after) in enumerate(levels):
        inner = i == 2
        full = inner and study == "ddpm_study"
        resize = conv(before, after, 3) if inner else conv(4 * before, after)
        assert count(network.down[i]) == 2 * block(before, before) + attended(before, full) + resize
        double = conv(after, before, 3)
        assert count(network.up[2 - i]) == 2 * block(before + after, after) + attended(after, full) + double
    assert count(network.middle_attention) == attended(112, full=True)
    assert count(network.final) == block(56, 28)
    assert isinstance(network.down[1].attention, LinearAttention)
    kind = Attention if study == "ddpm_study" else LinearAttention
    assert isinstance(network.down[2].attention, kind)
    assert isinstance(network.up[0].attention, kind)


@pytest.mark.row("H12", "H14", "H15", "H17", "H18", "H19")
@pytest.mark.parametrize("study", STUDIES)
def test_each_study_has_its_own_kinds_of_layers(study):
    network = STUDIES[study]()
    modules = list(network.modules())
    assert any(isinstance(m, WeightStandardizedConv2d) for m in modules) == (study == "resnet")
    assert any(isinstance(m, ChannelLayerNorm) for m in modules) == (study == "convnext")
    assert any(isinstance(m, RMSNorm) for m in modules) == (study == "ddpm_study")
    assert any(isinstance(m, nn.ConvTranspose2d) for m in modules) == (study == "convnext")
    assert isinstance(network.middle_attention, Attention)
    for layer in modules:
        if isinstance(layer, Attention | LinearAttention):
            assert (layer.heads, layer.project.in_channels) == (4, 128)
            assert (layer.memory is not None) == (study == "ddpm_study")
    assert (network.final.modulate is None) == (study == "convnext")


@pytest.mark.row("H18", "H19")
@pytest.mark.parametrize(("study", "used"), [("convnext", 2), ("resnet", 7), ("ddpm_study", 7)])
def test_skips_go_last_in_first_out_and_the_stem_to_the_end(study, used):
    network = small(study).eval()
    made, inputs = [], []
    network.stem.register_forward_hook(lambda _m, _i, output: made.append(output))
    for level in network.down:
        if study != "convnext":
            level.first.register_forward_hook(lambda _m, _i, output: made.append(output))
        level.attention.register_forward_hook(lambda _m, _i, output: made.append(output))
    for level in network.up:
        level.first.register_forward_hook(lambda _m, given, _o: inputs.append(given[0]))
        if study != "convnext":
            level.second.register_forward_hook(lambda _m, given, _o: inputs.append(given[0]))
    network.final.register_forward_hook(lambda _m, given, _o: inputs.append(given[0]))
    network(torch.randn(1, 3, 8, 16), column(5.0))
    if study == "convnext":  # neither the stem nor the first level's skip comes back
        made, inputs = made[2:], inputs[:-1]
    assert len(made) == len(inputs) == used
    for skip, given in zip(reversed(made), inputs, strict=True):
        assert torch.equal(given[:, -skip.shape[1] :], skip)


@pytest.mark.row("H9", "H18", "H19")
@pytest.mark.parametrize("study", STUDIES)
def test_blocks_get_the_published_embedding_of_the_step(study):
    """Sinusoids, dense layer, GELU, dense layer, and the activation of each block."""
    network, heard = small(study), []
    for module in (network.down[0].second, network.middle_first, network.up[-1].second):
        module.modulate.project.register_forward_hook(lambda _m, given, _o: heard.append(given[0]))
    network(torch.randn(2, 3, 8, 8), column(3.0, 700.0))
    vectors = network.dense[2](functional.gelu(network.dense[0](network.embed(column(3.0, 700.0)))))
    expected = functional.gelu(vectors) if study == "convnext" else functional.silu(vectors)
    assert len(heard) == 3
    for vector in heard:
        torch.testing.assert_close(vector, expected)
    kind = "add" if study == "convnext" else "scale_shift"
    assert network.middle_first.modulate.kind == kind


@pytest.mark.row("H19")
def test_the_last_block_depends_on_the_step_in_the_later_studies_only():
    images = torch.randn(1, 3, 8, 8)
    for study in STUDIES:
        network = small(study).eval()
        network.final.register_forward_pre_hook(lambda _m, given: (torch.ones_like(given[0]), given[1]))
        outputs = [network(images, column(step)) for step in (1.0, 900.0)]
        assert torch.equal(*outputs) == (study == "convnext")


@pytest.mark.row("H20")
@pytest.mark.parametrize("study", STUDIES)
@pytest.mark.parametrize(("height", "width"), [(28, 28), (13, 21), (1, 1), (8, 3)])
def test_annotated_networks_take_any_height_and_width(study, height, width):
    network, images = small(study).eval(), torch.randn(2, 3, height, width)
    output = network(images, column(0.0, 199.0))
    assert output.shape == images.shape
    assert torch.isfinite(output).all()
    assert output.any()  # as published, the head does not start at zero
    padded = functional.pad(images, (0, -width % 4, 0, -height % 4), mode="replicate")
    whole = network(padded, column(0.0, 199.0))[..., :height, :width]
    torch.testing.assert_close(output, whole, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("study", STUDIES)
def test_channels_last_is_kept_and_gives_the_same_output(study):
    network, images = small(study).eval(), torch.randn(2, 3, 8, 8)
    before = network(images, column(1.0, 50.0))
    network.to(memory_format=torch.channels_last)
    after = network(images.to(memory_format=torch.channels_last), column(1.0, 50.0))
    assert after.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(after, before, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("study", STUDIES)
def test_outputs_and_gradients_in_bfloat16_are_close_and_finite(study):
    network, images = small(study), torch.randn(2, 3, 9, 8)
    exact = network(images, column(1.0, 990.0))
    with torch.autocast("cpu", torch.bfloat16):
        output = network(images, column(1.0, 990.0))
        output.float().square().mean().backward()
    assert (output - exact).abs().mean() < 0.1 * exact.abs().mean()
    assert all(torch.isfinite(parameter.grad).all() for parameter in network.parameters())


@pytest.mark.parametrize("study", STUDIES)
def test_gradients_of_annotated_networks_reach_every_parameter(study):
    network = small(study).double()
    images, steps = torch.randn(4, 3, 8, 8, dtype=torch.float64), column(0, 10, 100, 199, dtype=torch.float64)
    # The sinusoids are in float32 by design.
    network.embed.register_forward_hook(lambda _m, _i, output: output.double())
    network(images, steps).square().mean().backward()
    dead = [name for name, p in network.named_parameters() if p.grad is None or p.grad.abs().max() < 1e-12]
    assert not dead


@pytest.mark.parametrize(
    ("choices", "sentence"),
    [
        ({"channels": 0}, "number of channels must be from 1"),
        ({"dim": 7}, "dim must be even and from 4"),
        ({"dim": 2}, "dim must be even and from 4"),
        ({"multipliers": ()}, "one positive multiplier"),
        ({"multipliers": (1, 0)}, "one positive multiplier"),
        ({"groups": 8}, "multiple of its groups, but got 28 and 8"),
        ({"groups": 0}, "multiple of its groups"),
    ],
)
def test_annotated_config_refuses_contradictions(choices, sentence):
    with pytest.raises(UnnoiseError, match=sentence):
        AnnotatedConfig(**choices)


def test_annotated_networks_refuse_classes_and_previous_images():
    network, images = small("resnet"), torch.randn(2, 3, 8, 8)
    with pytest.raises(UnnoiseError, match=r"know no classes\. Use UNet"):
        network(images, column(1.0, 2.0), torch.tensor([0, 1]))
    with pytest.raises(UnnoiseError, match=r"take no previous images\. Use UNet"):
        network(images, column(1.0, 2.0), None, images)


def test_build_makes_the_network_of_each_config():
    for study, make in STUDIES.items():
        network = make()
        assert network.config.study == study
        assert count(build(network.config)) == count(network)
    assert isinstance(build(UNetConfig(widths=(8, 16), attention=(False, True))), UNet)


@pytest.mark.parametrize(
    ("mine", "published"),
    [
        (UnshuffleConv2d(5, 7), nn.Sequential(nn.PixelUnshuffle(2), nn.Conv2d(20, 7, 1))),
        (UpsampleConv2d(5, 7), nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(5, 7, 3, padding=1))),
    ],
)
def test_resampling_convolutions_equal_the_two_published_layers(mine, published):
    published.load_state_dict(mine.state_dict())  # the same names and shapes
    images = torch.randn(2, 5, 4, 6, requires_grad=True)
    outputs = [layer(images) for layer in (mine, published)]
    torch.testing.assert_close(*outputs, atol=1e-5, rtol=1e-5)
    probe = torch.randn_like(outputs[0])
    wanted = [[images, *layer.parameters()] for layer in (mine, published)]
    gradients = [torch.autograd.grad((o * probe).sum(), w) for o, w in zip(outputs, wanted, strict=True)]
    for left, right in zip(*gradients, strict=True):
        torch.testing.assert_close(left, right, atol=1e-4, rtol=1e-4)
