"""Where the time of a call goes: PyTorch's profiler, summed up by the kind of kernel."""

from collections.abc import Callable

KINDS: dict[str, tuple[str, ...]] = {
    "convolutions": (
        "mkldnn_convolution",
        "_convolution",  # itself: the transposed ones
        "convolution_overrideable",
        "cudnn_convolution",
        "_slow_conv2d",
    ),
    "dense layers and attention": (
        "addmm",
        "mm",
        "bmm",
        "baddbmm",
        "_softmax",
        "_scaled_dot_product_flash_attention",
    ),
    "norms": ("native_group_norm", "native_layer_norm", "native_batch_norm"),
    "activations and sums": ("silu", "silu_", "add", "add_", "mul", "div", "addcmul", "sub", "lerp"),
    "copies": ("cat", "copy_", "upsample_nearest2d"),
}
"""The names of PyTorch's operators that do the work; all others are `rest`."""


def seconds_by_kind(run: Callable[[], object]) -> dict[str, float]:
    """The seconds that one call of `run` spends in each kind of kernel itself, on the CPU."""
    from torch.profiler import ProfilerActivity, profile

    run()  # the first call also makes room
    with profile(activities=[ProfilerActivity.CPU], acc_events=True) as profiler:
        run()
    kinds = {name: kind for kind, names in KINDS.items() for name in names}
    spent = dict.fromkeys((*KINDS, "rest"), 0.0)
    for event in profiler.key_averages():
        name = event.key.removeprefix("aten::").removesuffix("_for_cpu")
        spent[kinds.get(name, "rest")] += event.self_cpu_time_total / 1e6
    return spent
