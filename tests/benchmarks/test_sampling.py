"""Tests of the benchmark of sampling: unnoise and diffusers draw the same pictures, and times are right."""

import pytest
import torch
from torch import nn

from benchmarks import diffusers_models, sampling
from helpers.sampling import column


@pytest.fixture(scope="module")
def unet():
    return diffusers_models.build_unet((8, 16), 16, 1)


@pytest.mark.parametrize("sampler", sampling.SAMPLERS)
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # theirs
@pytest.mark.parametrize("steps", [1, 8, 20])
def test_unnoise_and_diffusers_draw_the_same_pictures(unet, sampler, steps):
    """Where the steps divide 1,000: else their DDIM steps back by 1000 // K, and not to its next time."""
    mine = sampling.draw_ours(sampling.ours(unet, 16), sampler, 2, steps)
    its = diffusers_models.draw(diffusers_models.build_pipeline(sampler, unet), 2, steps)
    assert sampling.difference(mine, its) <= 1e-4
    assert its.std() > 0.1
    assert ((its > 0.01) & (its < 0.99)).float().mean() > 0.3  # or equality would say little
    with pytest.raises(RuntimeError, match="different pictures"):
        sampling.difference(mine, its.flip(0))


def test_our_copy_of_the_weights_is_channels_last_and_theirs_is_unchanged(unet):
    denoiser = sampling.ours(unet, 16)
    mine, its = denoiser.network.conv_in.weight, unet.conv_in.weight
    assert torch.equal(mine, its)
    assert its.is_contiguous()
    assert mine.is_contiguous(memory_format=torch.channels_last)


def test_the_network_gets_the_timestep(unet):
    asked, steps = [], column(0.0, 41.0, 999.0)
    denoiser = sampling.ours(unet, 16)
    denoiser.network.register_forward_pre_hook(lambda _, given: asked.append(given[1]))
    denoiser.denoise(torch.zeros(3, 1, 16, 16), *denoiser.schedule((steps.double() + 1) / 1000))
    assert asked[0].tolist() == steps.tolist()


def test_the_overhead_of_sampling_is_measured_on_the_same_inputs():
    """On a clock of its own: a network that takes 20 ms, and a walk that takes 10 ms more a step."""
    seen, now = [], [0.0]

    class Slow(nn.Module):
        def forward(self, images):
            now[0] += 0.02
            seen.append(float(images))
            return images

    network = Slow()

    def draw():
        for step in range(3):
            network(torch.tensor(float(step)))
            now[0] += 0.01
        return torch.zeros(1, 1, 1, 1)

    assert sampling.overhead(draw, network, 3, lambda: now[0]) == pytest.approx(0.5)
    assert seen == [0, 1, 2] * 9


def test_the_tables_have_seconds_ratios_and_kernels():
    rows = [
        sampling.Row("DDIM", 4, {"ours": 1.0, "theirs": 1.5, "ours, compiled": 0.75}, 2e-6),
        sampling.Row("DPM", 4, {"ours": 2.0, "theirs": 2.2, "ours, compiled": 1.0}, 3e-6),
        sampling.Row("DPM", 8, {"ours": 2.0, "theirs": 2.4, "ours, compiled": 1.0}, 1e-6),
    ]
    assert sampling.ratios(rows).splitlines()[2:] == [
        "| ours | 1.20 | 1.20 |",
        "| ours, compiled | 2.40 | 2.20 |",
    ]
    assert "| DDIM | 4 | 1.000 | 1.500 | 0.750 | 1.50 | 2.00 |" in sampling.seconds(rows)
    milliseconds = {"ours": {"convolutions": 1.0, "rest": 1.0}, "theirs": {"convolutions": 3.0, "rest": 1.0}}
    text = sampling.kernels(milliseconds)
    assert "| convolutions | 1.00 | 3.00 | 75% |" in text
    assert "| all | 2.00 | 4.00 | 100% |" in text
