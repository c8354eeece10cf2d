"""ONNX graph of `denoise`: traced by PyTorch's exporter, for any batch, height and width."""

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from unnoise.diffusion.denoiser import Denoiser
from unnoise.diffusion.tensors import RatePair
from unnoise.networks import AnnotatedConfig, NetworkConfig, OwnConfig, attention
from unnoise.utils.errors import UnnoiseError, require

if TYPE_CHECKING:
    import onnx

OPSET = 18
_LARGEST_FILE = 2**31 - 2**20
"""Bytes of weights that still fit into a file of protobuf, whose limit is 2 GB."""
_SIZES = {2: "height", 3: "width"}


class _DenoiseModule(nn.Module):
    """`Denoiser.denoise` as a module from tensors to tensors."""

    def __init__(self, denoiser: Denoiser) -> None:
        super().__init__()
        self.network = denoiser.network
        self._denoise = denoiser.denoise

    def forward(
        self,
        noisy_images: Tensor,
        noise_rates: Tensor,
        signal_rates: Tensor,
        classes: Tensor | None = None,
        previous_images: Tensor | None = None,
        end_noise_rates: Tensor | None = None,
        end_signal_rates: Tensor | None = None,
    ) -> tuple[Tensor, ...]:
        """The parts of a `Prediction` that this network has."""
        ends = None
        if end_noise_rates is not None and end_signal_rates is not None:
            ends = RatePair(end_noise_rates, end_signal_rates)
        prediction = self._denoise(
            noisy_images, noise_rates, signal_rates, classes=classes, previous_images=previous_images, ends=ends
        )
        return tuple(part for part in prediction if part is not None)


def denoise_graph(denoiser: Denoiser, config: NetworkConfig) -> "onnx.ModelProto":
    """`denoise` as an ONNX model, for any batch, height and width.

        noisy_images (B, C, H, W), noise_rates and signal_rates (B, 1, 1, 1), and where the network takes them
        classes (B,), int64, num_classes for none, previous_images (B, C, H, W), zeros in the first step, and
        end_noise_rates and end_signal_rates (B, 1, 1, 1), the level at which the step ends
        -> noises, images, and where the network predicts them variances (B, C, H, W), uncertainties (B,)

    Args:
        denoiser: on the CPU, in float32.
        config: of its network.

    Raises:
        UnnoiseError: for a network of more than 2 GB, or one that PyTorch's exporter cannot translate.
    """
    count = sum(parameter.numel() for parameter in denoiser.network.parameters())
    require(
        4 * count < _LARGEST_FILE,
        f"This network has {count:,} weights, {4 * count / 1e9:.1f} GB, but an ONNX file holds at most 2 GB. "
        "Export a run of a smaller preset.",
    )
    multiple = _size_multiple(config)
    model = _traced(denoiser, multiple)
    _take_any_size(model, multiple)
    _leave_out_remarks(model)
    return model


def _size_multiple(config: NetworkConfig) -> int:
    """What the network rounds heights and widths up to a multiple of."""
    if isinstance(config, OwnConfig):
        return config.size_multiple
    levels = len(config.multipliers if isinstance(config, AnnotatedConfig) else config.widths)
    return int(2 ** (levels - 1))


def _traced(denoiser: Denoiser, multiple: int) -> "onnx.ModelProto":
    """The graph for heights and widths that are multiples of this number."""
    abilities, (channels, *_) = denoiser.abilities, denoiser.image_shape
    dimension = torch.export.Dim
    batch = dimension("batch")
    rows, columns = (multiple * dimension(name) for name in ("rows", "columns"))
    # Examples whose sizes are all different and above 1, so that none is taken for a constant.
    images, rates = torch.randn(3, channels, 4 * multiple, 5 * multiple), torch.full((3, 1, 1, 1), 0.5**0.5)
    inputs = {"noisy_images": images, "noise_rates": rates, "signal_rates": rates.clone()}
    if abilities.num_classes:
        inputs["classes"] = torch.zeros(3, dtype=torch.int64)
    if abilities.self_conditioning and not abilities.step_length:  # as in `Denoiser.denoise_for`
        inputs["previous_images"] = images.clone()
    if abilities.step_length:
        inputs |= {"end_noise_rates": rates / 2, "end_signal_rates": (1 - (rates / 2) ** 2).sqrt()}
    module = _DenoiseModule(denoiser).eval()
    module(**inputs)  # once for real: tables that a schedule keeps must not be computed while tracing
    pictures = {0: batch, 2: rows, 3: columns}
    outputs = ["noises", "images", *(["variances"] if abilities.learned_variance else [])]
    outputs += ["uncertainties"] if abilities.uncertainty else []
    try:
        with _traceable():
            program = torch.onnx.export(
                module,
                kwargs=inputs,
                output_names=outputs,
                dynamic_shapes={name: pictures if name.endswith("images") else {0: batch} for name in inputs},
                opset_version=OPSET,
                custom_translation_table=_translations(),
                dynamo=True,
                verbose=False,
                optimize=False,
            )
    except torch.onnx.OnnxExporterError as error:
        reason = str(error).strip().partition("\n")[0]
        raise UnnoiseError(
            f"PyTorch {torch.__version__} cannot translate this network to ONNX ({reason}). Try another "
            "version of PyTorch and of onnxscript."
        ) from error
    assert program is not None
    return program.model_proto


@contextmanager
def _traceable() -> Iterator[None]:
    """Attention as one operation, as its pieces depend on the batch size; exporter's remarks silenced."""
    few, silenced = attention.FEW_POSITIONS, logging.root.manager.disable
    attention.FEW_POSITIONS = 0
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            yield
    finally:
        attention.FEW_POSITIONS = few
        logging.disable(silenced)


def _translations() -> dict[Any, Any]:
    """Operations that PyTorch's exporter lacks: the search of a timestep by its log-SNR."""
    import onnxscript

    op: Any = onnxscript.opset18

    def searchsorted(
        borders: Any,  # noqa: ANN401 - symbolic values of onnxscript
        wanted: Any,  # noqa: ANN401
        out_int32: bool = False,
        right: bool = False,
        side: str | None = None,
        sorter: None = None,
    ) -> Any:  # noqa: ANN401
        """The number of rising borders (T,) that are at most as large as each wanted value."""
        assert right, "only the search from the right is translated"
        last = op.Constant(value_ints=[-1])
        passed = op.LessOrEqual(borders, op.Unsqueeze(wanted, last))
        return op.ReduceSum(op.Cast(passed, to=onnxscript.INT64.dtype), last, keepdims=0)

    return {torch.ops.aten.searchsorted.Tensor: searchsorted}


def _take_any_size(model: "onnx.ModelProto", multiple: int) -> None:
    """Pads images inside the graph by repeating their border, as the networks do, and crops what comes out."""
    import onnx

    graph, node = model.graph, onnx.parser.parse_node
    before = [
        node("zeros = Constant <value_ints = [0, 0]> ()"),
        node("sides = Constant <value_ints = [2, 3]> ()"),
        node(f"multiple = Constant <value_ints = [{multiple}, {multiple}]> ()"),
        node("size = Shape <start = 2, end = 4> (noisy_images)"),
        node("lacking = Neg (size)"),
        node("padding = Mod (lacking, multiple)"),
        node("padding_of_sides = Concat <axis = 0> (zeros, padding)"),
    ]
    after = []
    for value in graph.input:
        if value.name.endswith("images"):
            _rename(graph, value.name, f"padded_{value.name}")
            pad = f'padded_{value.name} = Pad <mode = "edge"> ({value.name}, padding_of_sides, , sides)'
            before.append(node(pad))
    for value in graph.output:
        if len(value.type.tensor_type.shape.dim) == 4:
            _rename(graph, value.name, f"padded_{value.name}")
            after.append(node(f"{value.name} = Slice (padded_{value.name}, zeros, size, sides)"))
    for value in (*graph.input, *graph.output):
        _name_sizes(value.type.tensor_type.shape.dim)
    nodes = [*before, *graph.node, *after]
    del graph.node[:], graph.value_info[:]
    graph.node.extend(nodes)


def _leave_out_remarks(model: "onnx.ModelProto") -> None:
    """Removes what the exporter noted of each node, such as the files and lines that it came from."""
    del model.metadata_props[:], model.graph.metadata_props[:]
    for one in (*model.graph.node, *model.graph.input, *model.graph.output, *model.graph.initializer):
        del one.metadata_props[:]
        one.doc_string = ""


def _rename(graph: "onnx.GraphProto", old: str, new: str) -> None:
    """Renames a value wherever a node reads or writes it."""
    for one in graph.node:
        for names in (one.input, one.output):
            names[:] = [new if name == old else name for name in names]


def _name_sizes(dimensions: Sequence[Any]) -> None:
    """Names the sizes of a picture, whose multiples the exporter has named."""
    if len(dimensions) == 4 and not dimensions[2].dim_value:
        for place, name in _SIZES.items():
            dimensions[place].dim_param = name
