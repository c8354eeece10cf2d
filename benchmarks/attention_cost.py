"""Linear attention's cost grows with the positions of a picture, and full attention's with their square.

    python -m benchmarks.attention_cost

Each layer runs forward and backward on the CPU, in turns (A B A B), so that a busy moment meets all of them;
the median of the turns counts. Full attention is measured twice: by PyTorch's fused kernel, which never holds
all scores at once and so hides their memory but not their time, and with the scores (B, heads, HW, HW) written
out.
Writes docs/attention_cost.md and docs/attention_cost.png.
"""

import argparse
import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from benchmarks.reports import machine, measured, publish, table
from unnoise.cli.console import Bar, result
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


class Line(NamedTuple):
    """seconds = factor * positions^slope."""

    slope: float
    factor: float

    def at(self, positions: float) -> float:
        """The seconds that the line gives for so many positions."""
        return float(self.factor * positions**self.slope)


def fit(seconds: Mapping[int, float]) -> Line:
    """The line through log(seconds) over log(positions) with the least squares."""
    slope, intercept = np.polyfit(np.log(list(seconds)), np.log(list(seconds.values())), 1)
    return Line(float(slope), math.exp(intercept))


def score_megabytes(positions: int) -> float:
    """What all scores of one layer take in float32: batch * heads * positions^2 numbers."""
    return BATCH * HEADS * positions**2 * 4 / 2**20


def _layers(side: int) -> dict[str, Callable[[Tensor], Sequence[Tensor]]]:
    """What is timed at this size: images -> the gradients of one forward and backward pass."""
    full = Attention(WIDTH, HEADS, normalization("group", WIDTH), zero_start=False)
    linear = LinearAttention(WIDTH, HEADS, normalization("group", WIDTH), RMSNorm(WIDTH), zero_start=False)
    layers: dict[str, Callable[[Tensor], Sequence[Tensor]]] = {
        LINEAR: partial(_both_ways, linear, nullcontext),
        # Named, so that a kernel that can't be used is an error and not a silent detour.
        FULL: partial(_both_ways, full, partial(sdpa_kernel, SDPBackend.FLASH_ATTENTION)),
    }
    if side <= LARGEST_WRITTEN_OUT:
        layers[WRITTEN_OUT] = partial(_both_ways, full, partial(sdpa_kernel, SDPBackend.MATH))
    for layer in (full, linear):
        layer.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # as `Denoiser` has them
    return layers


def _both_ways(
    layer: nn.Module, kernel: Callable[[], AbstractContextManager[object]], images: Tensor
) -> Sequence[Tensor]:
    with kernel():
        inputs = [images, *layer.parameters()]
        return torch.autograd.grad(layer(images), inputs, torch.ones_like(images))


def _seconds(run: Callable[[Tensor], object], images: Tensor, calls: int) -> float:
    started = time.perf_counter()
    for _ in range(calls):
        run(images)
    return (time.perf_counter() - started) / calls


def measure(side: int, turns: int) -> Times:
    """The median seconds of each layer over so many turns, on pictures of side x side positions."""
    images = torch.randn(BATCH, WIDTH, side, side).to(memory_format=torch.channels_last).requires_grad_()
    layers = _layers(side)
    for run in layers.values():
        run(images)  # the first call also makes room
    calls = {name: math.ceil(_SHORTEST / _seconds(run, images, 1)) for name, run in layers.items()}
    taken: dict[str, list[float]] = {name: [] for name in layers}
    for _ in range(turns):
        for name, run in layers.items():
            taken[name].append(_seconds(run, images, calls[name]))
    return {name: median(seconds) for name, seconds in taken.items()}


def column(times: Mapping[int, Times], name: str, smallest: int = 0) -> dict[int, float]:
    """One layer's seconds by the number of positions, from this side on, where it was measured."""
    return {side**2: each[name] for side, each in times.items() if side >= smallest and name in each}


def lines(times: Mapping[int, Times]) -> dict[str, Line]:
    """The fitted line of both kinds of attention over the larger sizes."""
    return {name: fit(column(times, name, FITTED_FROM)) for name in (LINEAR, FULL)}


def draw(times: Mapping[int, Times], figure: "Figure") -> None:
    """Both costs over the positions, on logarithmic axes, each with its fitted line."""
    from matplotlib.ticker import NullLocator

    axes = figure.add_subplot()
    axes.set(xscale="log", yscale="log", title="Attention, forward and backward")
    axes.set(xlabel="positions, height x width", ylabel="milliseconds")
    for (name, line), colour in zip(lines(times).items(), COLOURS, strict=False):
        seconds = column(times, name)
        label = f"{name} attention: slope {line.slope:.2f}"
        axes.plot(list(seconds), [1e3 * each for each in seconds.values()], "o-", color=colour, label=label)
        fitted = list(column(times, name, FITTED_FROM))
        axes.plot(fitted, [1e3 * line.at(each) for each in fitted], "--", color="black", linewidth=0.9)
    axes.plot([], [], "--", color="black", linewidth=0.9, label=f"fit from {FITTED_FROM} x {FITTED_FROM} on")
    axes.set_xticks([side**2 for side in times], [f"{side} x {side}" for side in times], rotation=40)
    axes.xaxis.set_minor_locator(NullLocator())
    axes.legend(frameon=False, loc="upper left")


def _cheaper(times: Mapping[int, Times]) -> str:
    sides = [f"{side} x {side}" for side, each in times.items() if each[FULL] < each[LINEAR]]
    where = f"only at {' and '.join(sides)}" if sides else "at none of these sizes"
    return f"Full attention is the cheaper of the two {where}."


def page(times: Mapping[int, Times], turns: int, command: str) -> list[str]:
    """The paragraphs of docs/attention_cost.md."""
    linear, full = lines(times).values()
    largest = max(times)
    ratio = times[largest][FULL] / times[largest][LINEAR]
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
    return [
        "# What attention costs",
        f"From {FITTED_FROM} x {FITTED_FROM} positions on, the cost of `LinearAttention` grows as "
        f"(H W)^{linear.slope:.2f}, and that of full `Attention` as (H W)^{full.slope:.2f}. At {largest} x "
        f"{largest} full attention takes {ratio:.1f} times as long.",
        "![Cost over positions, on logarithmic axes](attention_cost.png)",
        f"Milliseconds forward and backward, batch {BATCH}, width {WIDTH}, {HEADS} heads; medians of {turns} "
        "turns, in which the layers follow one another:",
        table(header, rows),
        "The fused kernel never holds all scores at once: it saves their memory (last column, in float32, "
        f"for one layer), but not their time. Written out they were measured up to {LARGEST_WRITTEN_OUT} x "
        f"{LARGEST_WRITTEN_OUT}. {_cheaper(times)}",
        f"```sh\n{command}\n```",
        measured(),
    ]


def main() -> None:
    """Measures, prints the page, and writes it with its picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sides", type=int, nargs="+", default=SIDES, help="at least two from 32 on")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--docs", type=Path, default=Path("docs"), help="the folder to write to")
    asked = parser.parse_args()
    sides = sorted(set(asked.sides))
    if sum(side >= FITTED_FROM for side in sides) < 2 or asked.turns < 1:
        parser.error(f"a slope needs two sides from {FITTED_FROM} on, and at least 1 turn")
    torch.manual_seed(0)
    print(machine(), flush=True)
    times: dict[int, Times] = {}
    with Bar("Measuring", sum(side**4 for side in sides)) as shown:
        for side in sides:
            times[side] = measure(side, asked.turns)
            shown.show(sum(done**4 for done in times), f"{side} x {side}")
    command = "python -m benchmarks.attention_cost"
    if (*sides, asked.turns) != (*SIDES, 5):
        command += f" --sides {' '.join(map(str, sides))} --turns {asked.turns}"
    paragraphs = page(times, asked.turns, command)
    print("\n\n".join(paragraphs))
    publish(asked.docs / "attention_cost.md", *paragraphs)
    save_png(painted(partial(draw, times), (6.0, 4.0)), asked.docs / "attention_cost.png")
    result("page", asked.docs / "attention_cost.md")


if __name__ == "__main__":
    main()
