"""Sampling speed beside diffusers, with the same weights.

    python -m benchmarks.sampling [--quick] [--compile]

A `UNet2DModel` of diffusers in its pipeline, and the same weights in `UNet.diffusers`, start from the same
noises and take the same steps on the same threads, in turns. Before anything is timed, the pictures must agree
to 10^-4. `generate` is also compared with nothing but the calls of its network, on the same inputs.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from statistics import median
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from benchmarks import diffusers_models
from benchmarks.diffusers_models import SIDE, WIDTHS, build_pipeline, build_unet
from benchmarks.report import MADE, folder_for, made, option_parser, publish, table
from benchmarks.turns import Clock, in_turns, medians, timed
from unnoise import Diffusion, Normalizer
from unnoise.api.reporting import progress_bar
from unnoise.diffusion.denoiser import Denoiser
from unnoise.diffusion.objectives import Objective
from unnoise.diffusion.sampler_names import SamplerName
from unnoise.diffusion.samplers.sampling import Sampling
from unnoise.diffusion.schedules import LinearBeta
from unnoise.diffusion.tensors import Images
from unnoise.networks import UNet, UNetConfig
from unnoise.runs.compiling import compiled
from unnoise.runs.presets import recipe
from unnoise.utils.device_speed import seconds_by_kind
from unnoise.utils.precision import bfloat16_is_fast

FULL, QUICK = (10, (1, 16, 64), 5), (4, (4,), 3)
"""Steps, batches, turns."""

SAMPLERS: Mapping[SamplerName, str] = {"ddim": "DDIM, eta 0", "dpmpp_2m": "DPM-Solver++ 2M"}
TOLERANCE = 1e-4

CLOCKS: Mapping[str, Clock] = {"wall": time.perf_counter, "cpu": time.process_time}
"""On a busy machine, CPU seconds of the process are disturbed less."""


class Row(NamedTuple):
    """One comparison: median seconds of a batch by who drew it, and the largest difference of the pictures."""

    sampler: str
    num_images: int
    seconds: dict[str, float]
    difference: float

    def ratio(self, name: str) -> float:
        """Speed relative to their pipeline."""
        return self.seconds["theirs"] / self.seconds[name]


def ours(unet: nn.Module, side: int = SIDE) -> Denoiser:
    """The same weights (a copy of them) in a network and a `Denoiser` of unnoise."""
    config: Any = unet.config
    network = UNet.diffusers(config)
    network.load_state_dict(unet.state_dict())
    return Denoiser(
        network.eval(),
        (1, side, side),
        normalizer=Normalizer.symmetric(1),
        schedule=LinearBeta(1000),
        objective=Objective("velocity", "velocity", "l2"),
        condition="timestep",
    )


def draw_ours(denoiser: Denoiser, sampler: SamplerName, num_images: int, num_steps: int) -> Images:
    """Pictures of the seeds 0, 1, ..., (B, 1, H, W) in [0, 1]."""
    sampling = Sampling(sampler=sampler, num_steps=num_steps)
    return denoiser.generate(num_images, sampling=sampling, batch_size=num_images)


def difference(left: Images, right: Images) -> float:
    """The largest difference of all pixels.

    Raises:
        RuntimeError: when it is above `TOLERANCE`, so that different work is never compared.
    """
    found = float((left - right).abs().max())
    if found > TOLERANCE:
        raise RuntimeError(f"unnoise and diffusers draw different pictures: pixels differ by {found:g}.")
    return found


class Compared(NamedTuple):
    """Networks that are compared: theirs, ours, and both compiled if asked for."""

    unet: nn.Module
    plain: Denoiser
    faster: Denoiser | None = None
    their_faster: Callable[..., Any] | None = None

    def row(self, sampler: SamplerName, num_images: int, steps: int, turns: int, clock: Clock) -> Row:
        """Checks that the pictures agree, then measures."""
        pipeline = build_pipeline(sampler, self.unet)
        runs: dict[str, Callable[[], Images]] = {
            "ours": lambda: draw_ours(self.plain, sampler, num_images, steps),
            "theirs": lambda: diffusers_models.draw(pipeline, num_images, steps),
        }
        if self.faster is not None and self.their_faster is not None:
            faster, their_faster = self.faster, build_pipeline(sampler, self.unet)
            their_faster.unet = self.their_faster
            runs["ours, compiled"] = lambda: draw_ours(faster, sampler, num_images, steps)
            runs["theirs, compiled"] = lambda: diffusers_models.draw(their_faster, num_images, steps)
        pictures = {name: run() for name, run in runs.items()}
        off = max(difference(drawn, pictures["theirs"]) for drawn in pictures.values())
        return Row(SAMPLERS[sampler], num_images, median_seconds(runs, turns, clock), off)


def median_seconds(runs: Mapping[str, Callable[[], object]], turns: int, clock: Clock) -> dict[str, float]:
    """The median seconds of each, called one after the other in every turn."""
    return medians(in_turns({name: partial(timed, run, 1, clock) for name, run in runs.items()}, turns))


def default_denoiser(side: int = 28) -> Denoiser:
    """The default preset's network for grey pictures, with random weights: its arithmetic costs the same."""
    chosen = recipe("default", 1, side, side)
    torch.manual_seed(0)
    assert isinstance(chosen.network, UNetConfig)
    network, shape = UNet.from_config(chosen.network), (1, side, side)
    settings = {"schedule": chosen.schedule, "objective": chosen.objective, "condition": chosen.condition}
    return Diffusion(network, shape, **settings).ema  # type: ignore[arg-type]


def overhead(
    draw: Callable[[], Images], network: nn.Module, turns: int, clock: Clock, *, halves: bool = False
) -> float:
    """Time of sampling beyond the calls of its network on the same inputs, as a fraction of those.

    Args:
        draw: samples with the network.
        network: that is called.
        turns, clock: as for `median_seconds`.
        halves: whether `draw` calls it under bfloat16 autocast.
    """
    calls: list[tuple[Tensor, ...]] = []
    with network.register_forward_pre_hook(lambda _, inputs: calls.append(inputs)):
        draw()

    @torch.no_grad()
    def only_calls() -> None:
        for inputs in calls:
            with torch.autocast("cpu", torch.bfloat16, enabled=halves):
                network(*inputs)

    seconds = median_seconds({"calls": only_calls, "sampling": draw}, turns, clock)
    return seconds["sampling"] / seconds["calls"] - 1


def overheads(num_images: int, steps: int, turns: int, clock: Clock) -> dict[str, float]:
    """Overheads of three samplers on the default preset's network, and of their pipeline on its own."""
    plain, found = default_denoiser(), {}
    for name, sampling in {
        "ours, DDIM, eta 0": Sampling(num_steps=steps),
        "ours, DDIM, eta 1": Sampling(num_steps=steps, eta=1.0),
        "ours, DPM-Solver++ 2M": Sampling(sampler="dpmpp_2m", num_steps=steps),
    }.items():
        draw = partial(plain.generate, num_images, sampling=sampling)
        found[name] = overhead(draw, plain.network, turns, clock)
    draw = torch.inference_mode()(partial(plain.generate, num_images, steps))
    found["ours, DDIM, eta 0, in inference mode"] = overhead(draw, plain.network, turns, clock)
    if bfloat16_is_fast():
        plain.precision = "bfloat16"
        draw = partial(plain.generate, num_images, steps)
        found["ours, DDIM, eta 0, in bfloat16"] = overhead(draw, plain.network, turns, clock, halves=True)
    unet = build_unet()
    draw = partial(diffusers_models.draw, build_pipeline("ddim", unet), num_images, steps)
    return {**found, "theirs, DDIM, eta 0": overhead(draw, unet, turns, clock)}


def milliseconds_by_kernel(num_images: int, steps: int) -> dict[str, dict[str, float]]:
    """Milliseconds a picture in each kind of kernel, of ours and theirs, by DDIM."""
    unet = build_unet()
    runs = {
        "ours": partial(draw_ours, ours(unet), "ddim", num_images, steps),
        "theirs": partial(diffusers_models.draw, build_pipeline("ddim", unet), num_images, steps),
    }
    return {
        name: {kind: 1e3 * each / num_images for kind, each in seconds_by_kind(run).items()}
        for name, run in runs.items()
    }


def measure(steps: int, batches: Sequence[int], turns: int, clock: Clock, *, compiling: bool) -> list[Row]:
    """All comparisons, with a progress bar."""
    unet = build_unet()
    compared = Compared(unet, ours(unet))
    rows = []
    with progress_bar("Measuring", sum(batches) * len(SAMPLERS)) as bar:
        for num_images in batches:
            if compiling:
                torch.compiler.reset()  # otherwise the next size is compiled for all sizes
                their_faster = torch.compile(unet)
                compared = Compared(unet, compared.plain, compiled(compared.plain, num_images), their_faster)
            for sampler in SAMPLERS:
                rows.append(compared.row(sampler, num_images, steps, turns, clock))
                bar.advance(num_images)
    return rows


# --- tables ---------------------------------------------------------------------------------------------------


def ratios(rows: Sequence[Row]) -> str:
    """How many times as fast as their pipeline: in the largest batches, and as the median of all rows."""
    largest = max(row.num_images for row in rows)
    some = [row for row in rows if row.num_images == largest]
    cells = [
        [name, *(f"{median(row.ratio(name) for row in each):.2f}" for each in (some, rows))]
        for name in rows[0].seconds
        if name != "theirs"
    ]
    return table(["times as fast as theirs", f"batches of {largest}", "median of all rows"], cells)


def seconds(rows: Sequence[Row]) -> str:
    """Median seconds of a batch."""
    names = list(rows[0].seconds)
    others = [name for name in names if name != "theirs"]
    cells = [
        [row.sampler, str(row.num_images)]
        + [f"{row.seconds[name]:.3f}" for name in names]
        + [f"{row.ratio(name):.2f}" for name in others]
        for row in rows
    ]
    return table(["sampler", "batch", *names, *(f"theirs / {name}" for name in others)], cells)


def kernels(milliseconds: Mapping[str, Mapping[str, float]]) -> str:
    """Milliseconds a picture by kind of kernel."""
    mine, its = milliseconds["ours"], milliseconds["theirs"]
    whole = sum(its.values())
    cells = [
        [kind, f"{mine[kind]:.2f}", f"{its[kind]:.2f}", f"{its[kind] / whole:.0%}"]
        for kind in its
        if mine[kind] or its[kind]
    ]
    cells.append(["all", f"{sum(mine.values()):.2f}", f"{whole:.2f}", "100%"])
    return table(["kernels", "ours", "theirs", "of theirs"], cells)


def main() -> None:
    """Measures, and writes the tables."""
    parser = option_parser(__doc__)
    parser.add_argument("--compile", action="store_true", help="also with both networks compiled, in minutes")
    parser.add_argument("--clock", choices=CLOCKS, default="wall", help="cpu if others use the machine too")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    steps, batches, turns = QUICK if options.quick else FULL
    clock = CLOCKS[options.clock]
    rows = measure(steps, batches, turns, clock, compiling=options.compile)
    added = overheads(batches[-1], steps, turns, clock)
    compiling = "--compile " if options.compile else ""
    how = (
        f"{turns} turns of {steps} steps each, pictures of {SIDE} x {SIDE}, U-Net of widths {WIDTHS} with "
        f"attention at the lowest resolution, {options.clock} clock; the pictures agree to "
        f"{max(row.difference for row in rows):.0e}."
    )
    command = f"{compiling}--threads {options.threads} --clock {options.clock}"
    blocks = {
        MADE: made("sampling", command, how, libraries=["diffusers"]),
        "ratios": ratios(rows),
        "seconds": seconds(rows),
        "kernels": kernels(milliseconds_by_kernel(batches[-1], steps)),
        "overhead": table(["sampler", "added"], [[name, f"{part:+.1%}"] for name, part in added.items()]),
    }
    publish("sampling_speed", __doc__, blocks, folder_for(options))


if __name__ == "__main__":
    main()
