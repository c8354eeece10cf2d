"""What the comparison of samplers says, as a page."""

from collections.abc import Mapping, Sequence
from statistics import median
from typing import NamedTuple

from benchmarks.reports import table


class Row(NamedTuple):
    """One comparison: median seconds for a batch of pictures, by what drew them; how far these are apart."""

    solver: str
    num_images: int
    seconds: dict[str, float]
    difference: float

    def ratio(self, name: str) -> float:
        """How many times as fast it is as their pipeline."""
        return self.seconds["theirs"] / self.seconds[name]


def _speeds(rows: Sequence[Row]) -> str:
    names = list(rows[0].seconds)
    others = [name for name in names if name != "theirs"]
    cells = [
        [row.solver, str(row.num_images)]
        + [f"{row.seconds[name]:.3f}" for name in names]
        + [f"{row.ratio(name):.2f}" for name in others]
        for row in rows
    ]
    return table(["solver", "batch", *names, *(f"theirs / {name}" for name in others)], cells)


def _shares(kinds: Mapping[str, Mapping[str, float]]) -> str:
    mine, its = kinds["ours"], kinds["theirs"]
    whole = sum(its.values())
    cells = [
        [kind, f"{mine[kind]:.2f}", f"{its[kind]:.2f}", f"{its[kind] / whole:.0%}"]
        for kind in its
        if mine[kind] or its[kind]
    ]
    cells.append(["all", f"{sum(mine.values()):.2f}", f"{whole:.2f}", "100%"])
    return table(["kernels", "ours", "theirs", "of theirs"], cells)


def page(
    rows: Sequence[Row],
    added: Mapping[str, float],
    kinds: Mapping[str, Mapping[str, float]],
    facts: Sequence[str],
) -> list[str]:
    """The paragraphs of docs/sampling_speed.md."""
    others = [name for name in rows[0].seconds if name != "theirs"]
    largest = max(row.num_images for row in rows)

    def told(some: Sequence[Row]) -> str:
        middle = {name: median(row.ratio(name) for row in some) for name in others}
        return ", ".join(f"{ratio:.2f} times ({name})" for name, ratio in middle.items())

    return [
        "# How fast sampling is",
        f"As fast as a pipeline of diffusers: {told([row for row in rows if row.num_images == largest])} in "
        f"batches of {largest}, which is what `generate` takes if it may; {told(rows)} as a median over all "
        "rows below. Both have the same architecture and the same weights, each in its own implementation, "
        "and the same noises, solver, steps and threads; theirs is a `UNet2DModel` run as its users run it, "
        "and ours is a `Diffusion` of `UNet.diffusers`. The pictures agree to "
        f"{max(row.difference for row in rows):.0e}.",
        "Median seconds for a batch:",
        _speeds(rows),
        "Where the time goes, milliseconds a picture in the profiler (DDIM, one run each):",
        _shares(kinds),
        "Both spend nearly all of it in the network's own kernels, of which the convolutions are the greatest "
        "part. Ours keeps weights and features with the channels last, which spares the convolutions their "
        "conversions; doubles and convolves a picture in one transposed convolution, with 16 products a pixel "
        "instead of 36; forms the attention of small pictures by plain products, which are faster there than "
        "the fused kernel; and adds and activates in place. What is left can be had faster by compiling only, "
        "which fuses the rest (`--compile`).",
        "What drawing takes beyond the bare calls of its network, on the same inputs:",
        table(["", "added"], [[name, f"{part:+.1%}"] for name, part in added.items()]),
        "Samplers work under `torch.no_grad`, since what they yield under `torch.inference_mode` could not be "
        "used where gradients are needed; the line that says so shows what that costs.",
        *facts,
    ]
