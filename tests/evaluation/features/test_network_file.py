"""TorchScript and ONNX extractors against the same network in PyTorch."""

import numpy as np
import pytest
import torch
from torch import nn

from helpers.feature_pictures import random_images
from unnoise.evaluation.features import choose_extractor
from unnoise.evaluation.features.network_file import extractor_from_file
from unnoise.evaluation.features.preprocessing import imagenet_preparation
from unnoise.utils.errors import UnnoiseError

pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")


class Small(nn.Module):
    """A convolution of two pixels' step, its positive part, and its mean."""

    def __init__(self, pool=True):
        super().__init__()
        self.pool = pool
        self.convolution = nn.Conv2d(3, 5, 3, 2, padding=1)

    def forward(self, images):
        found = self.convolution(images).relu()
        return found.mean((2, 3), keepdim=True) if self.pool else found


@pytest.fixture
def network():
    torch.manual_seed(0)
    return Small().eval()


@pytest.fixture
def pictures():
    return random_images(5, 24, 40).take(range(5))


def torchscript(network, path):
    torch.jit.trace(network, torch.zeros(1, 3, 8, 8)).save(str(path))
    return path


def onnx_file(network, path, *, batch="batch", side=None, channels=3, pool=True):
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    weights = {
        name: onnx.numpy_helper.from_array(value.detach().numpy(), name)
        for name, value in network.convolution.named_parameters()
    }
    nodes = [
        helper.make_node("Conv", ["x", "weight", "bias"], ["c"], strides=[2, 2], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("GlobalAveragePool", ["r"], ["y"]) if pool else helper.make_node("Abs", ["r"], ["y"]),
    ]
    shape = [batch, channels, side or "height", side or "width"]
    takes = helper.make_tensor_value_info("x", kind, shape)
    gives = helper.make_tensor_value_info("y", kind, [batch, 5, None, None])
    graph = helper.make_graph(nodes, "small", [takes], [gives], list(weights.values()))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, path)
    return path


def test_torchscript_features_equal_those_of_the_network(network, pictures, tmp_path):
    extractor = extractor_from_file(torchscript(network, tmp_path / "small.pt"), side=32)
    with torch.no_grad():
        expected = network(imagenet_preparation(32)(pictures)).flatten(1)
    assert torch.allclose(extractor(pictures), expected, atol=1e-6)
    assert (extractor.name, extractor.side) == ("torchscript:small", 32)
    assert "to 32 x 32" in extractor.resize
    assert "ImageNet" in extractor.resize


@pytest.mark.parametrize(("batch", "side"), [("batch", None), (1, None), (2, 32), ("batch", 32)])
def test_onnx_features_equal_those_of_the_network(network, pictures, tmp_path, batch, side):
    path = onnx_file(network, tmp_path / "small.onnx", batch=batch, side=side)
    extractor = extractor_from_file(path, side=None if side else 32)
    with torch.no_grad():
        expected = network(imagenet_preparation(32)(pictures)).flatten(1)
    assert torch.allclose(extractor(pictures), expected, atol=1e-5)
    assert (extractor.name, extractor.side) == ("onnx:small", 32)


def test_default_side_is_the_fixed_one_of_the_network_or_224(network, tmp_path):
    assert extractor_from_file(torchscript(network, tmp_path / "a.ts")).side == 224
    fixed = onnx_file(network, tmp_path / "a.onnx", side=16)
    assert extractor_from_file(fixed).side == extractor_from_file(fixed, side=16).side == 16
    with pytest.raises(UnnoiseError, match=r"is fixed to 16 x 16, but must be 20 x 20"):
        extractor_from_file(fixed, side=20)


def test_digest_depends_on_side_and_weights(network, tmp_path):
    path = torchscript(network, tmp_path / "a.pt")
    first = extractor_from_file(path, side=32).digest
    assert extractor_from_file(path, side=32).digest == first
    assert extractor_from_file(path, side=33).digest != first
    with torch.no_grad():
        network.convolution.bias[0] += 1
    assert extractor_from_file(torchscript(network, tmp_path / "a.pt"), side=32).digest != first


class Trap:
    """What unpickling would set off."""

    def __reduce__(self):
        return (pytest.fail, ("it was unpickled",))


@pytest.mark.parametrize("new", [True, False])
@pytest.mark.parametrize("value", [Trap(), {"a": torch.zeros(1)}])
def test_pickles_are_refused_without_being_opened(tmp_path, value, new):
    path = tmp_path / "trap.pt"
    torch.save(value, path, _use_new_zipfile_serialization=new)
    with pytest.raises(UnnoiseError, match=r"is not TorchScript.*torch.jit.save.*not opened"):
        extractor_from_file(path)


@pytest.mark.parametrize("content", [b"", b"hello"])
@pytest.mark.parametrize("name", ["a.pt", "a.onnx"])
def test_damaged_network_files_are_refused(tmp_path, name, content):
    pytest.importorskip("onnxruntime")
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(UnnoiseError, match=r"is (not TorchScript|damaged or not ONNX)"):
        extractor_from_file(path)


def test_wrong_inputs_and_unpooled_outputs_are_refused(network, pictures, tmp_path):
    with pytest.raises(UnnoiseError, match=r"one float tensor \(B, 3, side, side\), but that of .*grey.onnx"):
        extractor_from_file(onnx_file(network, tmp_path / "grey.onnx", channels=1))
    unpooled = extractor_from_file(onnx_file(network, tmp_path / "map.onnx", pool=False), side=8)
    with pytest.raises(UnnoiseError, match=r"returns \(5, 5, 4, 4\) for B = 5: pool"):
        unpooled(pictures)
    unpooled = extractor_from_file(torchscript(Small(pool=False).eval(), tmp_path / "map.pt"), side=8)
    with pytest.raises(UnnoiseError, match="pool its last layer"):
        unpooled(pictures)
    with pytest.raises(UnnoiseError, match=r"is TorchScript \(.pt, .ts\) or ONNX \(.onnx\), but got"):
        extractor_from_file(tmp_path / "net.bin")


def test_choose_extractor_opens_network_files(network, tmp_path):
    path = torchscript(network, tmp_path / "small.pt")
    assert choose_extractor(str(path), random_images(3), np.arange(3), side=16).name == "torchscript:small"
    with pytest.raises(UnnoiseError, match="--weights has an effect with"):
        choose_extractor(str(path), random_images(3), np.arange(3), weights=path)


def test_without_onnxruntime_the_message_names_the_package(network, tmp_path, monkeypatch):
    path = onnx_file(network, tmp_path / "small.onnx")
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)
    with pytest.raises(UnnoiseError, match=r"needs onnxruntime.*unnoise\[onnx\]"):
        extractor_from_file(path)
