"""A network in a file gives the same features as the network, and nothing in it is unpickled."""

import numpy as np
import pytest
import torch
from torch import nn

from helpers.feature_pictures import random_images
from unnoise.evaluation.features import choose
from unnoise.evaluation.features.given import given
from unnoise.evaluation.features.preparing import imagenet
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


def test_torchscript_gives_the_networks_features(network, pictures, tmp_path):
    extractor = given(torchscript(network, tmp_path / "small.pt"), side=32)
    with torch.no_grad():
        expected = network(imagenet(32)(pictures)).flatten(1)
    assert torch.allclose(extractor(pictures), expected, atol=1e-6)
    assert (extractor.name, extractor.side) == ("torchscript:small", 32)
    assert "to 32 x 32" in extractor.resize
    assert "ImageNet" in extractor.resize


@pytest.mark.parametrize(("batch", "side"), [("batch", None), (1, None), (2, 32), ("batch", 32)])
def test_onnx_gives_the_networks_features(network, pictures, tmp_path, batch, side):
    path = onnx_file(network, tmp_path / "small.onnx", batch=batch, side=side)
    extractor = given(path, side=None if side else 32)
    with torch.no_grad():
        expected = network(imagenet(32)(pictures)).flatten(1)
    assert torch.allclose(extractor(pictures), expected, atol=1e-5)
    assert (extractor.name, extractor.side) == ("onnx:small", 32)


def test_the_side_is_the_files_or_224(network, tmp_path):
    assert given(torchscript(network, tmp_path / "a.ts")).side == 224
    fixed = onnx_file(network, tmp_path / "a.onnx", side=16)
    assert given(fixed).side == given(fixed, side=16).side == 16
    with pytest.raises(UnnoiseError, match=r"takes pictures of 16 x 16 only.*side of 20 was asked for"):
        given(fixed, side=20)


def test_a_side_or_another_file_is_another_digest(network, tmp_path):
    path = torchscript(network, tmp_path / "a.pt")
    first = given(path, side=32).digest
    assert given(path, side=32).digest == first
    assert given(path, side=33).digest != first
    with torch.no_grad():
        network.convolution.bias[0] += 1
    assert given(torchscript(network, tmp_path / "a.pt"), side=32).digest != first


class Trap:
    """What unpickling would set off."""

    def __reduce__(self):
        return (pytest.fail, ("it was unpickled",))


@pytest.mark.parametrize("new", [True, False])
@pytest.mark.parametrize("value", [Trap(), {"a": torch.zeros(1)}])
def test_a_pickle_is_refused_and_not_opened(tmp_path, value, new):
    path = tmp_path / "trap.pt"
    torch.save(value, path, _use_new_zipfile_serialization=new)
    with pytest.raises(UnnoiseError, match=r"must be TorchScript.*torch.jit.save.*not opened"):
        given(path)


@pytest.mark.parametrize("content", [b"", b"hello"])
@pytest.mark.parametrize("name", ["a.pt", "a.onnx"])
def test_what_is_no_network_is_one_sentence(tmp_path, name, content):
    pytest.importorskip("onnxruntime")
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(UnnoiseError, match=r"must be (TorchScript|a whole network), but"):
        given(path)


def test_inputs_and_outputs_are_checked(network, pictures, tmp_path):
    with pytest.raises(UnnoiseError, match=r"takes one input, float \(B, 3, side, side\), but .* takes"):
        given(onnx_file(network, tmp_path / "grey.onnx", channels=1))
    unpooled = given(onnx_file(network, tmp_path / "map.onnx", pool=False), side=8)
    with pytest.raises(UnnoiseError, match=r"gives \(5, 5, 4, 4\) for B = 5: pool"):
        unpooled(pictures)
    unpooled = given(torchscript(Small(pool=False).eval(), tmp_path / "map.pt"), side=8)
    with pytest.raises(UnnoiseError, match="pool its last layer"):
        unpooled(pictures)
    with pytest.raises(UnnoiseError, match=r"is TorchScript \(.pt, .ts\) or ONNX \(.onnx\), but got"):
        given(tmp_path / "net.bin")


def test_a_file_is_chosen_by_its_name(network, tmp_path):
    path = torchscript(network, tmp_path / "small.pt")
    assert choose(str(path), random_images(3), np.arange(3), side=16).name == "torchscript:small"
    with pytest.raises(UnnoiseError, match="Weights are named for"):
        choose(str(path), random_images(3), np.arange(3), weights=path)


def test_without_onnxruntime_there_is_a_remedy(network, tmp_path, monkeypatch):
    path = onnx_file(network, tmp_path / "small.onnx")
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)
    with pytest.raises(UnnoiseError, match=r"needs onnxruntime.*unnoise\[onnx\]"):
        given(path)
