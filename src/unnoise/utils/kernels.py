"""Where the time of a call goes: PyTorch's profiler, summed up by the kind of kernel."""

from collections.abc import Callable

KINDS: dict[str, tuple[str, ...]] = {
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
"""The names of PyTorch's operators that do the work; all others are `rest`: what calling them takes."""

_KIND = {name: kind for kind, names in KINDS.items() for name in names}


def kind_of(event: str) -> str:
    """The kind of a kernel as the profiler names it: aten::add_ is a sum, Optimizer.step#Adam.step a step."""
    name = event.removeprefix("aten::").partition("#")[0]
    for suffix in ("_for_cpu", "_for_cpu_backward"):
        if name.endswith(suffix):
            name = name.removesuffix(suffix) + suffix.removeprefix("_for_cpu")
    return _KIND.get(name, _KIND.get(name.rstrip("_"), "rest"))  # what works in place ends in an underscore


def seconds_by_kind(run: Callable[[], object]) -> dict[str, float]:
    """The seconds that one call of `run` spends in each kind of kernel itself, on the CPU."""
    from torch.profiler import ProfilerActivity, profile

    run()  # the first call also makes room
    with profile(activities=[ProfilerActivity.CPU], acc_events=True) as profiler:
        run()
    spent = dict.fromkeys((*KINDS, "rest"), 0.0)
    for event in profiler.key_averages():
        spent[kind_of(event.key)] += event.self_cpu_time_total / 1e6
    return spent


RANGES = {"data": "unnoise: data", "averages": "unnoise: averages", "guards": "unnoise: guards"}
"""Parts of a training step, by the names under which a profiler finds them."""
