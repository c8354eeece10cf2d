"""Operations of a step, and where its time goes.

`count_flops` counts what a step needs, and `seconds_by_kind` how its time is spread over the kinds of PyTorch's
operators.
"""

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry, sdpa_backward_flop_count, sdpa_flop_count

PROFILER_RANGES = {"data": "unnoise: data", "averages": "unnoise: averages", "guards": "unnoise: guards"}
"""Names under which a profiler shows the parts of a training step that are not PyTorch operators."""


def synchronize(device: torch.device) -> None:
    """Waits until the device has finished all of its queued work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def count_flops(step: Callable[[], object]) -> float:
    """Floating-point operations of the matrix products and convolutions in one call of `step`."""
    counter = FlopCounter()
    with counter:
        step()
    return counter.flops


def _attention_flops(query: Tensor, key: Tensor, value: Tensor, *_: object, **__: object) -> float:
    return float(sdpa_flop_count(query.shape, key.shape, value.shape))  # type: ignore[no-untyped-call]


def _attention_backward_flops(
    gradient: Tensor, query: Tensor, key: Tensor, value: Tensor, *_: object, **__: object
) -> float:
    shapes = (each.shape for each in (gradient, query, key, value))
    return float(sdpa_backward_flop_count(*shapes))  # type: ignore[no-untyped-call]


@cache
def _formulas() -> Mapping[object, Callable[..., float]]:
    """PyTorch's formulas, and those of its fused attention on CPUs, which it leaves out."""
    fused = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
    backward = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward
    return {**flop_registry, fused: _attention_flops, backward: _attention_backward_flops}


class FlopCounter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Context manager that counts floating-point operations and changes no result.

    PyTorch's own `FlopCounterMode` uses the same formulas, but decomposes some operators, which rounds
    differently.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.flops = 0.0

    def __torch_dispatch__(
        self,
        func: Any,  # noqa: ANN401 (any operator)
        _types: object,
        args: tuple[object, ...] = (),
        kwargs: dict[str, object] | None = None,
    ) -> object:
        """Runs the operator unchanged and adds its operations to `flops`."""
        result = func(*args, **(kwargs or {}))
        formula = _formulas().get(func._overloadpacket)
        if formula is not None:
            self.flops += formula(*args, **(kwargs or {}), out_val=result)
        return result


OPERATOR_KINDS: dict[str, tuple[str, ...]] = {
    "convolutions": (
        "mkldnn_convolution",
        "_convolution",  # itself: the transposed ones
        "convolution_overrideable",
        "cudnn_convolution",
        "_slow_conv2d_forward",
        "slow_conv_transpose2d",
        "_conv_depthwise2d",
        "convolution",
        "thnn_conv2d",
        "cudnn_convolution_transpose",
    ),
    "convolutions, backward": (
        "convolution_backward",
        "convolution_backward_overrideable",
        "_slow_conv2d_backward",
    ),
    "dense layers and attention": (
        "linear",
        "linear_backward",
        "mkldnn_linear",
        "addmm",
        "mm",
        "bmm",
        "baddbmm",
        "_softmax",
        "_softmax_backward_data",
        "_scaled_dot_product_flash_attention",
        "_scaled_dot_product_flash_attention_backward",
        "_scaled_dot_product_efficient_attention",
        "_scaled_dot_product_efficient_attention_backward",
        *("_scaled_dot_product_cudnn_attention", "_scaled_dot_product_cudnn_attention_backward"),
        *("_flash_attention_forward", "_flash_attention_backward"),
        *("_efficient_attention_forward", "_efficient_attention_backward"),
    ),
    "norms": (
        *("native_group_norm", "native_layer_norm", "native_batch_norm", "rsqrt"),
        *("native_group_norm_backward", "native_layer_norm_backward", "native_batch_norm_backward"),
    ),
    "activations and sums": (
        *("silu", "silu_backward", "gelu", "gelu_backward", "relu", "sigmoid"),
        *("tanh", "exp", "log", "sin", "cos"),
        *("add", "sub", "rsub", "mul", "div", "neg"),
        *("addcmul", "addcdiv", "pow", "square", "sqrt", "reciprocal"),
        *("abs", "sgn", "sign", "clamp", "clamp_min", "clamp_max", "where", "masked_fill", "lerp"),
        *("gt", "ge", "lt", "le", "eq", "ne"),
        *("sum", "mean", "linalg_vector_norm", "norm", "amax", "max"),
        *("mse_loss", "mse_loss_backward", "l1_loss", "smooth_l1_loss", "smooth_l1_loss_backward"),
    ),
    "copies": (
        *("_to_copy", "contiguous", "cat", "copy", "clone", "fill"),
        *("zero", "index", "index_select", "gather", "constant_pad_nd"),
        *("upsample_nearest2d", "upsample_nearest2d_backward"),
        *("upsample_bilinear2d", "upsample_bilinear2d_backward"),
        *("avg_pool2d", "avg_pool2d_backward", "pixel_shuffle", "pixel_unshuffle"),
    ),
    "optimiser and average": (
        *("_fused_adam", "_fused_adamw", "_fused_sgd", "Optimizer.step", "Optimizer.zero_grad"),
        *("_foreach_mul", "_foreach_add", "_foreach_sub", "_foreach_div", "_foreach_lerp", "_foreach_copy"),
        *("_foreach_norm", "_foreach_addcmul", "_foreach_addcdiv", "_foreach_sqrt", "_foreach_zero"),
    ),
    "random numbers": ("normal", "randn", "uniform", "rand", "random", "randint", "bernoulli"),
}
"""PyTorch operators by kind. All others count as `rest`: mostly the cost of calling operators at all."""

NORMED_SILU = "_NormedSiLU"
"""The name in a profiler of `networks.normed_silu`, and the beginning of that of its gradient."""

_KIND_OF_OPERATOR = {name: kind for kind, names in OPERATOR_KINDS.items() for name in names}


def operator_kind(event: str) -> str:
    """The kind of an operator by its name in the profiler, such as aten::add_ or Optimizer.step#Adam.step."""
    name = event.removeprefix("aten::").partition("#")[0]
    for suffix in ("_for_cpu", "_for_cpu_backward"):
        if name.endswith(suffix):
            name = name.removesuffix(suffix) + suffix.removeprefix("_for_cpu")
    # In-place operators end in an underscore.
    return _KIND_OF_OPERATOR.get(name, _KIND_OF_OPERATOR.get(name.rstrip("_"), "rest"))


def seconds_by_kind(run: Callable[[], object]) -> dict[str, float]:
    """CPU seconds that one call of `run` spends in each kind of operator, without the operators it calls."""
    from torch.profiler import ProfilerActivity, profile

    run()  # the first call also allocates memory
    with profile(activities=[ProfilerActivity.CPU], acc_events=True) as profiler:
        run()
    spent = dict.fromkeys((*OPERATOR_KINDS, "rest"), 0.0)
    for event in profiler.events():
        if event.device_type.name == "CPU":
            spent[fused_kind(event) or operator_kind(event.name)] += event.self_cpu_time_total / 1e6
    return spent


def fused_kind(event: Any) -> str | None:  # noqa: ANN401 (PyTorch's FunctionEvent)
    """The kind of an operation of our own that a profiler's event is part of; None outside of them."""
    inside = event
    while inside is not None:
        if inside.name.startswith(NORMED_SILU):
            return "norms"
        inside = inside.cpu_parent
    return None
