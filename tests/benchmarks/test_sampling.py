"""Ours and theirs draw the same pictures, and the comparison of their speed counts rightly."""

import time

import pytest
import torch
from torch import nn

from benchmarks import sampling, sampling_page
from helpers.oracles import column
from unnoise import Diffusion
from unnoise.diffusion.samplers.sampling import Sampling
from unnoise.diffusion.schedules import LinearBeta
from unnoise.networks import UNet
from unnoise.networks.published.doubling import DoublingConv2d
from unnoise.runs import compiling
from unnoise.utils import kernels
from unnoise.utils.errors import UnnoiseError


@pytest.fixture(scope="module")
def unet():
    return sampling.build_unet((8, 16), 16, 1)


@pytest.mark.parametrize("solver", sampling.SOLVERS)
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # theirs
@pytest.mark.parametrize("steps", [1, 8, 20])
def test_both_draw_the_same_pictures(unet, solver, steps):
    """Where the steps divide 1,000: else their DDIM steps back by 1000 // K, and not to its next time."""
    mine = sampling.draw_ours(sampling.ours(unet, 16), solver, 2, steps)
    its = sampling.draw_theirs(sampling.theirs(solver, unet), 2, steps)
    assert sampling.difference(mine, its) <= 1e-4
    assert its.std() > 0.1
    assert ((its > 0.01) & (its < 0.99)).float().mean() > 0.3  # or equality would say little
    with pytest.raises(RuntimeError, match="other pictures"):
        sampling.difference(mine, its.flip(0))


def test_their_weights_stay_as_their_users_have_them(unet):
    diffusion = sampling.ours(unet, 16)
    mine, its = diffusion.average.network.conv_in.weight, unet.conv_in.weight
    assert torch.equal(mine, its)
    assert its.is_contiguous()
    assert mine.is_contiguous(memory_format=torch.channels_last)


def test_the_network_is_told_the_step(unet):
    asked, steps = [], column(0.0, 41.0, 999.0)
    diffusion = sampling.ours(unet, 16)
    diffusion.network.register_forward_pre_hook(lambda _, given: asked.append(given[1]))
    diffusion.denoise(torch.zeros(3, 1, 16, 16), *diffusion.schedule((steps.double() + 1) / 1000))
    assert asked[0].tolist() == steps.tolist()


def test_turns_alternate_and_the_first_counts_for_nothing():
    order, now = [], [0.0]

    def spending(name, *seconds):
        left = list(seconds)

        def run():
            order.append(name)
            now[0] += left.pop(0)

        return run

    runs = {"a": spending("a", 100, 1, 9, 2), "b": spending("b", 50, 4, 3, 5)}
    assert sampling.in_turns(runs, 3, lambda: now[0]) == {"a": 2, "b": 4}
    assert order == ["a", "b"] * 4


def test_what_drawing_adds_is_measured_on_the_same_inputs(monkeypatch):
    """A network that takes 20 ms, and a walk that waits 10 ms more a step."""
    seen = []

    class Slow(nn.Module):
        def forward(self, images):
            time.sleep(0.02)
            seen.append(float(images))
            return images

    network = Slow()

    def draw():
        for step in range(3):
            network(torch.tensor(float(step)))
            time.sleep(0.01)
        return torch.zeros(1, 1, 1, 1)

    added = sampling.overhead(draw, network, 3, "wall")
    assert 0.2 < added < 0.9
    assert seen == [0, 1, 2] * 9


def test_the_page_says_what_was_measured():
    rows = [
        sampling_page.Row("DDIM", 4, {"ours": 1.0, "theirs": 1.5, "ours, compiled": 0.75}, 2e-6),
        sampling_page.Row("DPM", 4, {"ours": 2.0, "theirs": 2.2, "ours, compiled": 1.0}, 3e-6),
        sampling_page.Row("DPM", 8, {"ours": 2.0, "theirs": 2.4, "ours, compiled": 1.0}, 1e-6),
    ]
    kinds = {"ours": {"convolutions": 1.0, "rest": 1.0}, "theirs": {"convolutions": 3.0, "rest": 1.0}}
    text = "\n".join(sampling_page.page(rows, {"DDIM": 0.0123}, kinds, ["facts"]))
    assert "1.20 times (ours), 2.40 times (ours, compiled) in batches of 8" in text
    assert "1.20 times (ours), 2.20 times (ours, compiled) as a median over all rows" in text
    assert "agree to 3e-06" in text
    assert "| DDIM | 4 | 1.000 | 1.500 | 0.750 | 1.50 | 2.00 |" in text
    assert "| convolutions | 1.00 | 3.00 | 75% |" in text
    assert "| all | 2.00 | 4.00 | 100% |" in text
    assert "| DDIM | +1.2% |" in text


def test_kernels_are_counted_by_their_kind():
    left, images, weights = torch.ones(600, 600), torch.ones(8, 64, 32, 32), torch.ones(64, 64, 3, 3)
    found = kernels.seconds_by_kind(lambda: torch.mm(left, left))
    assert max(found, key=found.get) == "dense layers and attention"
    found = kernels.seconds_by_kind(lambda: torch.conv2d(images, weights))
    assert max(found, key=found.get) == "convolutions"
    layer, images = DoublingConv2d(64), images.to(memory_format=torch.channels_last)
    found = kernels.seconds_by_kind(lambda: layer(images))
    assert max(found, key=found.get) == "convolutions"
    output = layer(images).sum()
    found = kernels.seconds_by_kind(lambda: output.backward(retain_graph=True))
    assert max(found, key=found.get) == "convolutions, backward"


@pytest.mark.parametrize(
    ("event", "kind"),
    [
        ("aten::add_", "activations and sums"),
        ("aten::_scaled_dot_product_flash_attention_for_cpu_backward", "dense layers and attention"),
        ("aten::native_group_norm_backward", "norms"),
        ("Optimizer.step#AdamW.step", "optimiser and average"),
        ("aten::_fused_adamw_", "optimiser and average"),
        ("aten::view", "rest"),
    ],
)
def test_a_kernel_has_its_kind_in_place_backward_and_on_any_processor(event, kind):
    assert kernels.kind_of(event) == kind


# --- a compiled network -------------------------------------------------------------------------------------


def diffusion(**settings) -> Diffusion:
    torch.manual_seed(0)
    network = UNet(1, (8, 16), 1, **settings)
    nn.init.normal_(network.head.weight, std=0.1)
    return Diffusion(network, (1, 8, 8))


@pytest.mark.parametrize("classes", [None, torch.tensor([0, 1, 2])])
def test_a_compiled_network_is_the_one_that_is_called(monkeypatch, classes):
    """What the compiler makes of it is not ours to test; that it is used is."""
    batches = []

    def compiler(network):
        def faster(noisy_images, *told, **more):
            batches.append(len(noisy_images))
            return network(noisy_images, *told, **more)

        return faster

    monkeypatch.setattr(torch, "compile", compiler)
    plain = diffusion(num_classes=0 if classes is None else 3)
    faster = compiling.compiled(plain, 3)
    assert batches == [3]
    expected = plain.generate(3, 4, seed=2, classes=classes)
    assert batches == [3]  # which stays as it was
    assert torch.equal(faster.generate(3, 4, seed=2, classes=classes), expected)
    assert batches == [3] * 5
    with pytest.raises(RuntimeError, match="call train_step on that"):
        faster.train_step(torch.zeros(1, 1, 8, 8))


def test_without_a_compiler_there_is_one_sentence(monkeypatch):
    def compiler(_network):
        def faster(*_told, **_more):
            raise OSError("No working C++ compiler found\nand much more")

        return faster

    monkeypatch.setattr(torch, "compile", compiler)
    with pytest.raises(
        UnnoiseError, match=r"can't be compiled here \(OSError: No working C.. compiler found\): "
    ):
        compiling.compiled(diffusion())


def test_the_averaged_view_of_a_view_is_itself():
    plain = diffusion()
    assert plain.ema.ema is not plain
    view = plain.ema
    assert view.ema is view
    noises, rates = torch.randn(2, 1, 8, 8), LinearBeta(100)(column(0.5, 0.5))
    assert torch.equal(
        view.denoiser(Sampling())(noises, *rates).images, plain.ema.denoise(noises, *rates).images
    )
