"""Cost of linear and full attention as pictures grow.

    python -m benchmarks.attention_cost

Forward and backward passes of one layer on the CPU. The cost of linear attention grows with the number of
positions H W, that of full attention with its square. Full attention is measured twice: by PyTorch's fused
kernel, which never holds all scores at once, and with the scores (B, heads, HW, HW) written out.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from benchmarks.power_law import PowerLaw, fit
from benchmarks.report import MADE, folder_for, made, option_parser, publish, table
from benchmarks.turns import calls_within, in_turns, medians, timed
from unnoise.api.reporting import progress_bar
from unnoise.networks.attention import Attention, LinearAttention
from unnoise.networks.norms import RMSNorm, normalization
from unnoise.pictures import save_png
from unnoise.pictures.charts import COLOURS, painted

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SIDES = (8, 16, 24, 32, 48, 64, 96)
WIDTH, HEADS, BATCH = 64, 4, 2

FITTED_FROM = 32
"""Slopes are fitted from this side on: below, the 1x1 convolutions and the calls themselves cost the most."""

LARGEST_WRITTEN_OUT = 48
"""Scores of 64 x 64 positions, with what the backward pass keeps of them, take gigabytes."""

_SHORTEST = 0.02
"""Seconds: shorter layers are called several times a turn, so that the clock can tell."""

LINEAR, FULL, WRITTEN_OUT = "linear", "full", "full, scores written out"

Times = dict[str, float]
"""The median seconds of each layer, at one size."""


def score_megabytes(positions: int) -> float:
    """MiB of all scores of one layer in float32: batch * heads * positions^2 numbers."""
    return BATCH * HEADS * positions**2 * 4 / 2**20


def layers_of(side: int) -> dict[str, Callable[[Tensor], Sequence[Tensor]]]:
    """The layers of this size: images -> gradients of one forward and backward pass."""
    full = Attention(WIDTH, HEADS, normalization("group", WIDTH), zero_start=False)
    linear = LinearAttention(WIDTH, HEADS, normalization("group", WIDTH), RMSNorm(WIDTH), zero_start=False)
    layers: dict[str, Callable[[Tensor], Sequence[Tensor]]] = {
        LINEAR: partial(_forward_and_backward, linear, nullcontext),
        # Named, so that a kernel that cannot be used is an error instead of another kernel.
        FULL: partial(_forward_and_backward, full, partial(sdpa_kernel, SDPBackend.FLASH_ATTENTION)),
    }
    if side <= LARGEST_WRITTEN_OUT:
        layers[WRITTEN_OUT] = partial(_forward_and_backward, full, partial(sdpa_kernel, SDPBackend.MATH))
    for layer in (full, linear):
        layer.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # as `Denoiser` has them
    return layers


def _forward_and_backward(
    layer: nn.Module, kernel: Callable[[], AbstractContextManager[object]], images: Tensor
) -> Sequence[Tensor]:
    with kernel():
        inputs = [images, *layer.parameters()]
        return torch.autograd.grad(layer(images), inputs, torch.ones_like(images))


def measure(side: int, turns: int) -> Times:
    """The median seconds of each layer over so many turns, on pictures of side x side positions."""
    images = torch.randn(BATCH, WIDTH, side, side).to(memory_format=torch.channels_last).requires_grad_()
    calls = {name: partial(layer, images) for name, layer in layers_of(side).items()}
    for call in calls.values():
        call()  # the first call also allocates memory
    runs = {name: partial(timed, call, calls_within(call, _SHORTEST)) for name, call in calls.items()}
    return medians(in_turns(runs, turns, warmup=0))


def column(times: Mapping[int, Times], name: str, smallest: int = 0) -> dict[int, float]:
    """Seconds of one layer by number of positions, for the sides from `smallest` on."""
    return {side**2: each[name] for side, each in times.items() if side >= smallest and name in each}


def power_laws(times: Mapping[int, Times]) -> dict[str, PowerLaw]:
    """The power laws of linear and full attention, fitted over the larger sizes."""
    return {name: fit(column(times, name, FITTED_FROM)) for name in (LINEAR, FULL)}


def draw(times: Mapping[int, Times], figure: "Figure") -> None:
    """Both costs over the positions, on logarithmic axes, each with its fitted power law."""
    from matplotlib.ticker import NullLocator

    axes = figure.add_subplot()
    axes.set(xscale="log", yscale="log", title="Attention, forward and backward")
    axes.set(xlabel="positions, height x width", ylabel="milliseconds")
    for (name, law), colour in zip(power_laws(times).items(), COLOURS, strict=False):
        seconds = column(times, name)
        label = f"{name} attention: slope {law.slope:.2f}"
        axes.plot(list(seconds), [1e3 * each for each in seconds.values()], "o-", color=colour, label=label)
        fitted = list(column(times, name, FITTED_FROM))
        axes.plot(fitted, [1e3 * law.at(each) for each in fitted], "--", color="black", linewidth=0.9)
    axes.plot([], [], "--", color="black", linewidth=0.9, label=f"fit from {FITTED_FROM} x {FITTED_FROM} on")
    axes.set_xticks([side**2 for side in times], [f"{side} x {side}" for side in times], rotation=40)
    axes.xaxis.set_minor_locator(NullLocator())
    axes.legend(frameon=False, loc="upper left")


def tables(times: Mapping[int, Times]) -> dict[str, str]:
    """The tables of docs/attention_cost.md: fitted slopes, and times by size."""
    laws = [[name, f"(H W)^{law.slope:.2f}"] for name, law in power_laws(times).items()]
    rows = [
        [
            f"{side} x {side}",
            *(f"{1e3 * each[name]:.2f}" if name in each else "" for name in (LINEAR, FULL, WRITTEN_OUT)),
            f"{each[FULL] / each[LINEAR]:.1f}",
            f"{score_megabytes(side**2):,.1f}",
        ]
        for side, each in times.items()
    ]
    header = ["positions", LINEAR, FULL, WRITTEN_OUT, "full / linear", "MiB of scores"]
    return {
        "growth": table(["attention", f"cost from {FITTED_FROM} x {FITTED_FROM} on"], laws),
        "times": table(header, rows),
    }


def main() -> None:
    """Measures, and writes the tables and the plot."""
    parser = option_parser(__doc__)
    parser.add_argument(
        "--sides", type=int, nargs="+", default=SIDES, help=f"two or more from {FITTED_FROM} on"
    )
    parser.add_argument("--turns", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    sides, turns = ((32, 48), 1) if options.quick else (sorted(set(options.sides)), options.turns)
    if sum(side >= FITTED_FROM for side in sides) < 2 or turns < 1:
        parser.error(f"a slope needs two sides of {FITTED_FROM} or more, and at least 1 turn")
    torch.manual_seed(0)
    times: dict[int, Times] = {}
    with progress_bar("Measuring", sum(side**4 for side in sides)) as bar:
        for side in sides:
            times[side] = measure(side, turns)
            bar.update(sum(done**4 for done in times), f"{side} x {side}")
    command = "" if (*sides, turns) == (*SIDES, 5) else f"--sides {' '.join(map(str, sides))} --turns {turns}"
    folder = folder_for(options)
    how = f"Medians of {turns} turns, in which the layers follow one another."
    blocks = {MADE: made("attention_cost", command, how), **tables(times)}
    publish("attention_cost", __doc__, blocks, folder)
    if folder is not None:
        save_png(painted(partial(draw, times), (6.0, 4.0)), folder / "attention_cost.png")


if __name__ == "__main__":
    main()
