r"""Compact weights of an ONNX model: stored in 16 or 8 bits, computed with in float32.

    float16, bfloat16:  W = float32(stored)                    (one Cast for each tensor)
    int8:               W = scale * stored,    scale = max |W| / 127 for each row of an axis (DequantizeLinear)

Only what is stored shrinks: every operation stays in float32, so every runtime computes the same. Vectors
(biases, gains, frequencies) stay as they are: they are few, and an error in them reaches every position.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

if TYPE_CHECKING:
    import onnx

WeightType = Literal["float32", "float16", "bfloat16", "int8"]
_LARGEST_INT8 = 127
_LARGEST_FLOAT16 = 65504


class _Stored(NamedTuple):
    """Tensors to store, and the node that makes the weights of them."""

    tensors: list[Any]
    node: Any


def store_weights(model: "onnx.ModelProto", kind: WeightType) -> "onnx.ModelProto":
    """A copy of the model whose matrices and kernels are stored in this type."""
    import onnx

    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    if kind == "float32":
        return copy
    kept, stored = [], []
    for tensor in copy.graph.initializer:
        if _is_matrix(tensor):
            stored.append(_quantized(tensor) if kind == "int8" else _halved(tensor, kind))
        else:
            kept.append(tensor)
    nodes = [*(one.node for one in stored), *copy.graph.node]
    tensors = [*kept, *(tensor for one in stored for tensor in one.tensors)]
    del copy.graph.initializer[:], copy.graph.node[:]
    copy.graph.initializer.extend(tensors)
    copy.graph.node.extend(nodes)
    return copy


def _is_matrix(tensor: "onnx.TensorProto") -> bool:
    import onnx

    return tensor.data_type == onnx.TensorProto.FLOAT and len(tensor.dims) >= 2 and tensor.dims[0] > 1


def _halved(tensor: "onnx.TensorProto", kind: Literal["float16", "bfloat16"]) -> _Stored:
    import ml_dtypes
    import onnx

    values = onnx.numpy_helper.to_array(tensor)
    name = f"{tensor.name}.{kind}"
    if kind == "float16":
        rounded = np.clip(values, -_LARGEST_FLOAT16, _LARGEST_FLOAT16).astype(np.float16)
    else:
        rounded = values.astype(ml_dtypes.bfloat16)
    stored = onnx.numpy_helper.from_array(rounded, name)
    node = onnx.helper.make_node("Cast", [name], [tensor.name], to=onnx.TensorProto.FLOAT)
    return _Stored([stored], node)


def _quantized(tensor: "onnx.TensorProto") -> _Stored:
    """In 8 bits, with scales along that of the first two axes which leaves the smaller error."""
    import onnx

    values = onnx.numpy_helper.to_array(tensor)
    axis, scales, rounded = min(_roundings(values), key=lambda one: _squared_error(values, *one))
    names = [f"{tensor.name}.int8", f"{tensor.name}.scales"]
    tensors = [
        onnx.numpy_helper.from_array(one, name) for one, name in zip((rounded, scales), names, strict=True)
    ]
    return _Stored(tensors, onnx.helper.make_node("DequantizeLinear", names, [tensor.name], axis=axis))


def _roundings(values: np.ndarray) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    for axis in (0, 1):
        others = tuple(one for one in range(values.ndim) if one != axis)
        scales = np.abs(values).max(axis=others) / _LARGEST_INT8
        scales = np.where(scales > 0, scales, 1).astype(np.float32)
        yield axis, scales, np.rint(values / _along(scales, axis, values.ndim)).astype(np.int8)


def _squared_error(values: np.ndarray, axis: int, scales: np.ndarray, rounded: np.ndarray) -> float:
    return float(np.square(values - rounded * _along(scales, axis, values.ndim)).sum())


def _along(scales: np.ndarray, axis: int, dimensions: int) -> np.ndarray:
    """The scales in a shape that multiplies the weights along an axis."""
    return scales.reshape([-1 if one == axis else 1 for one in range(dimensions)])
