"""Precision: the default of each kind of device, and TF32."""

from contextlib import nullcontext
from typing import get_args

import pytest
import torch

from unnoise.utils.precision import DeviceCapabilities, Precision, set_tf32


@pytest.mark.parametrize(
    ("capabilities", "precision"),
    [
        (DeviceCapabilities(), "float32"),
        (DeviceCapabilities(type="mps"), "float32"),
        (DeviceCapabilities(type="mps", bfloat16=True), "float32"),
        (DeviceCapabilities(type="cuda", bfloat16=True), "bfloat16"),
        (DeviceCapabilities(type="cuda"), "tf32"),
        (DeviceCapabilities(type="xpu"), "float32"),
    ],
)
def test_the_default_precision_follows_the_device(capabilities, precision):
    assert capabilities.default_precision == precision


@pytest.mark.parametrize("native", [True, False])
def test_cuda_devices_are_asked_for_bfloat16_without_emulation(monkeypatch, native):
    """PyTorch says yes of devices that only emulate it, unless it is told not to."""
    asked = []

    def supported(including_emulation: bool = True) -> bool:
        return native or including_emulation

    monkeypatch.setattr(torch.cuda, "is_bf16_supported", supported)
    monkeypatch.setattr(torch.cuda, "device", lambda device: asked.append(device) or nullcontext())
    assert DeviceCapabilities.of("cuda:3") == DeviceCapabilities(type="cuda", bfloat16=native)
    assert asked == [torch.device("cuda:3")]


def test_a_cpu_has_no_fast_bfloat16():
    assert DeviceCapabilities.of("cpu") == DeviceCapabilities()


def tf32() -> tuple[str, bool]:
    return torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32


@pytest.fixture
def _settings():
    before = tf32()
    yield
    torch.set_float32_matmul_precision(before[0])
    torch.backends.cudnn.allow_tf32 = before[1]


@pytest.mark.parametrize("precision", get_args(Precision))
@pytest.mark.usefixtures("_settings")
def test_tf32_is_used_on_cuda_unless_float32_is_asked_for(precision):
    before = tf32()
    for device in ("cpu", "mps"):
        set_tf32(device, precision)
        assert tf32() == before
    set_tf32("cuda:0", precision)
    assert tf32() == (("highest", False) if precision == "float32" else ("high", True))
