"""Tests of sampling with a compiled network: it is called in place of the plain one, and draws the same."""

import pytest
import torch
from torch import nn

from unnoise import Diffusion
from unnoise.diffusion.denoiser import Denoiser
from unnoise.networks import UNet
from unnoise.runs import compiling
from unnoise.utils.errors import UnnoiseError


def denoiser(**settings) -> Denoiser:
    torch.manual_seed(0)
    network = UNet(1, (8, 16), 1, **settings)
    nn.init.normal_(network.head.weight, std=0.1)
    return Diffusion(network, (1, 8, 8)).ema


@pytest.mark.parametrize("classes", [None, torch.tensor([0, 1, 2])])
def test_the_compiled_network_is_called_and_the_plain_denoiser_stays_as_it_is(monkeypatch, classes):
    batches = []

    def compiler(network):
        def faster(noisy_images, *conditions, **more):
            batches.append(len(noisy_images))
            return network(noisy_images, *conditions, **more)

        return Wrapped(network, faster)

    monkeypatch.setattr(torch, "compile", compiler)
    plain = denoiser(num_classes=0 if classes is None else 3)
    faster = compiling.compiled(plain, 3)
    assert batches == [3]
    expected = plain.generate(3, 4, seed=2, classes=classes)
    assert batches == [3]
    assert torch.equal(faster.generate(3, 4, seed=2, classes=classes), expected)
    assert batches == [3] * 5


class Wrapped(nn.Module):
    """A module around a function that has the attributes of a network, as `torch.compile` returns one."""

    def __init__(self, network, function):
        super().__init__()
        self.network, self.function = network, function

    def forward(self, *arguments, **more):
        return self.function(*arguments, **more)

    def __getattr__(self, name):
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("network"), name)


def test_without_a_compiler_the_reason_and_the_remedy_are_one_message(monkeypatch):
    def compiler(network):
        def faster(*_arguments, **_more):
            raise OSError("No working C++ compiler found\nand much more")

        return Wrapped(network, faster)

    monkeypatch.setattr(torch, "compile", compiler)
    with pytest.raises(
        UnnoiseError, match=r"\(OSError: No working C.. compiler found\).*Install a C\+\+ compiler"
    ):
        compiling.compiled(denoiser())
