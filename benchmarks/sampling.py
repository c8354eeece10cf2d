"""The same weights draw the same pictures here and in a pipeline of diffusers; what differs is the time.

    python -m benchmarks.sampling [--quick] [--compile]

Both start from the same noises, take the same steps and threads, and follow one another in turns (A B A B), so
that a busy moment meets both; the medians of the turns count. Before anything is timed, the pictures must agree
to 10^-4. Besides, `generate` is compared with the bare calls of its network, on the same inputs.
Writes docs/sampling_speed.md.
"""

import argparse
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from benchmarks.reports import machine, publish
from benchmarks.sampling_page import Row, page
from unnoise import Diffusion, Normalizer
from unnoise.cli.console import Bar, result
from unnoise.diffusion.objectives import Objective
from unnoise.diffusion.samplers.sampling import SamplerName, Sampling
from unnoise.diffusion.schedules import LinearBeta
from unnoise.diffusion.tensors import Images
from unnoise.networks import UNet, UNetConfig
from unnoise.runs.compiling import compiled
from unnoise.runs.presets import recipe
from unnoise.utils.kernels import seconds_by_kind

SIDE, WIDTHS = 32, (32, 64, 128)
FULL, QUICK = (10, (1, 16, 64), 5), (4, (4,), 3)
"""Steps, batches, turns."""

SOLVERS: Mapping[SamplerName, str] = {"ddim": "DDIM, eta 0", "dpmpp_2m": "DPM-Solver++ 2M"}
TOLERANCE = 1e-4

CLOCKS: Mapping[str, Callable[[], float]] = {"wall": time.perf_counter, "cpu": time.process_time}
"""Seconds of the process alone are less disturbed by others on a busy machine."""


class Pipeline(Protocol):
    """What is used of theirs."""

    unet: Callable[..., Any]

    def __call__(
        self,
        batch_size: int,
        generator: list[torch.Generator],
        *,
        num_inference_steps: int,
        output_type: str,
    ) -> Any:  # noqa: ANN401 (their record of arrays)
        """Draws."""
        ...


def build_unet(
    widths: Sequence[int] = WIDTHS, side: int = SIDE, layers: int = 2, channels: int = 1, seed: int = 0
) -> nn.Module:
    """A U-Net of diffusers, with attention where pictures are smallest, and random weights."""
    from diffusers import UNet2DModel

    plain = len(widths) - 1
    torch.manual_seed(seed)
    unet: nn.Module = UNet2DModel(
        sample_size=side,
        in_channels=channels,
        out_channels=channels,
        layers_per_block=layers,
        block_out_channels=tuple(widths),
        norm_num_groups=8,
        down_block_types=("DownBlock2D",) * plain + ("AttnDownBlock2D",),
        up_block_types=("AttnUpBlock2D",) + ("UpBlock2D",) * plain,
    )
    return unet.eval()


def theirs(solver: SamplerName, unet: nn.Module) -> Pipeline:
    """The pipeline as its users run it. For DPM-Solver++ that of DDPM, which takes any scheduler.

    Their defaults, but for what would give other pictures: no clipping, a velocity (random weights that predict
    noise would draw black and white only), and trailing timesteps.
    """
    from diffusers import DDIMPipeline, DDIMScheduler, DDPMPipeline, DPMSolverMultistepScheduler

    chain = {"num_train_timesteps": 1000, "prediction_type": "v_prediction", "timestep_spacing": "trailing"}
    pipeline: Any
    if solver == "ddim":
        pipeline = DDIMPipeline(unet, DDIMScheduler(**chain, clip_sample=False))
    else:
        pipeline = DDPMPipeline(unet, DPMSolverMultistepScheduler(**chain, beta_start=1e-4, beta_end=0.02))
    pipeline.set_progress_bar_config(disable=True)
    drawing: Pipeline = pipeline
    return drawing


def ours(unet: nn.Module, side: int = SIDE) -> Diffusion:
    """The same weights (a copy of them) in a network and a `Diffusion` of ours."""
    config: Any = unet.config
    network = UNet.diffusers(config)
    network.load_state_dict(unet.state_dict())
    return Diffusion(
        network.eval(),  # which becomes channels last
        (1, side, side),
        normalizer=Normalizer.symmetric(1),
        schedule=LinearBeta(1000),
        objective=Objective("velocity", "velocity", "l2"),
        condition="timestep",
    )


def draw_theirs(pipeline: Pipeline, num_images: int, num_steps: int) -> Images:
    """Pictures of the seeds 0, 1, ..., (B, 1, H, W) in [0, 1]."""
    generators = [torch.Generator().manual_seed(seed) for seed in range(num_images)]
    drawn = pipeline(num_images, generators, num_inference_steps=num_steps, output_type="np").images
    return torch.from_numpy(drawn).permute(0, 3, 1, 2)


def draw_ours(diffusion: Diffusion, solver: SamplerName, num_images: int, num_steps: int) -> Images:
    """The same of ours."""
    sampling = Sampling(sampler=solver, num_steps=num_steps)
    return diffusion.generate(num_images, sampling=sampling, batch_size=num_images)


def difference(left: Images, right: Images) -> float:
    """The largest of all pixels.

    Raises:
        RuntimeError: when it is above `TOLERANCE`, so that nothing else is compared.
    """
    found = float((left - right).abs().max())
    if found > TOLERANCE:
        raise RuntimeError(f"Ours and theirs draw other pictures: they differ by {found:g}.")
    return found


def in_turns(
    runs: Mapping[str, Callable[[], object]], turns: int, clock: Callable[[], float] = time.perf_counter
) -> dict[str, float]:
    """The median seconds of each, called one after the other in every turn, after one call unmeasured."""
    taken: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(turns + 1):
        for name, run in runs.items():
            started = clock()
            run()
            if turn:
                taken[name].append(clock() - started)
    return {name: median(seconds) for name, seconds in taken.items()}


class Compared(NamedTuple):
    """Who draws: pipelines by solver, and diffusions; compiled ones where asked for."""

    unet: nn.Module
    plain: Diffusion
    faster: Diffusion | None = None
    their_faster: Callable[..., Any] | None = None

    def row(self, solver: SamplerName, num_images: int, steps: int, turns: int, clock: str) -> Row:
        """Checks that the pictures agree, then measures."""
        pipeline = theirs(solver, self.unet)
        runs: dict[str, Callable[[], Images]] = {
            "ours": lambda: draw_ours(self.plain, solver, num_images, steps),
            "theirs": lambda: draw_theirs(pipeline, num_images, steps),
        }
        if self.faster is not None and self.their_faster is not None:
            faster, their_faster = self.faster, theirs(solver, self.unet)
            their_faster.unet = self.their_faster
            runs["ours, compiled"] = lambda: draw_ours(faster, solver, num_images, steps)
            runs["theirs, compiled"] = lambda: draw_theirs(their_faster, num_images, steps)
        pictures = {name: run() for name, run in runs.items()}
        off = max(difference(drawn, pictures["theirs"]) for drawn in pictures.values())
        return Row(SOLVERS[solver], num_images, in_turns(runs, turns, CLOCKS[clock]), off)


def default_diffusion(side: int = 28) -> Diffusion:
    """The default preset's network for grey pictures, not trained: what it computes costs the same."""
    chosen = recipe("default", 1, side, side)
    torch.manual_seed(0)
    assert isinstance(chosen.network, UNetConfig)
    return Diffusion(
        UNet.from_config(chosen.network),
        (1, side, side),
        schedule=chosen.schedule,
        objective=chosen.objective,
        condition=chosen.condition,
    )


def overhead(draw: Callable[[], Images], network: nn.Module, turns: int, clock: str) -> float:
    """What drawing takes beyond the bare calls of its network on the very same inputs, as a part of them."""
    calls: list[tuple[Tensor, ...]] = []
    with network.register_forward_pre_hook(lambda _, inputs: calls.append(inputs)):
        draw()

    @torch.no_grad()
    def bare() -> None:
        for inputs in calls:
            network(*inputs)

    seconds = in_turns({"bare": bare, "whole": draw}, turns, CLOCKS[clock])
    return seconds["whole"] / seconds["bare"] - 1


def overheads(num_images: int, steps: int, turns: int, clock: str) -> dict[str, float]:
    """Of ours with the default preset's network and three samplers, and of theirs with their own."""
    plain, added = default_diffusion(), {}
    for name, sampling in {
        "ours, DDIM, eta 0": Sampling(num_steps=steps),
        "ours, DDIM, eta 1": Sampling(num_steps=steps, eta=1.0),
        "ours, DPM-Solver++ 2M": Sampling(sampler="dpmpp_2m", num_steps=steps),
    }.items():
        draw = partial(plain.generate, num_images, sampling=sampling)
        added[name] = overhead(draw, plain.average.network, turns, clock)
    draw = torch.inference_mode()(partial(plain.generate, num_images, steps))
    added["the first, in inference mode"] = overhead(draw, plain.average.network, turns, clock)
    unet = build_unet()
    draw = partial(draw_theirs, theirs("ddim", unet), num_images, steps)
    return {**added, "theirs, DDIM, eta 0": overhead(draw, unet, turns, clock)}


def spent(num_images: int, steps: int) -> dict[str, dict[str, float]]:
    """Milliseconds a picture in each kind of kernel, of ours and theirs, by DDIM."""
    unet = build_unet()
    runs = {
        "ours": partial(draw_ours, ours(unet), "ddim", num_images, steps),
        "theirs": partial(draw_theirs, theirs("ddim", unet), num_images, steps),
    }
    return {
        name: {kind: 1e3 * each / num_images for kind, each in seconds_by_kind(run).items()}
        for name, run in runs.items()
    }


def measure(steps: int, batches: Sequence[int], turns: int, clock: str, *, compiling: bool) -> list[Row]:
    """All rows, with a progress bar."""
    unet = build_unet()
    compared = Compared(unet, ours(unet))
    rows = []
    with Bar("Measuring", sum(batches) * len(SOLVERS)) as shown:
        for num_images in batches:
            if compiling:
                torch.compiler.reset()  # else the next size is compiled for all sizes
                their_faster = torch.compile(unet)
                compared = Compared(unet, compared.plain, compiled(compared.plain, num_images), their_faster)
            for solver in SOLVERS:
                rows.append(compared.row(solver, num_images, steps, turns, clock))
                shown.advance(num_images)
    return rows


def main() -> None:
    """Measures, prints the page, and writes it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a few small turns, to see that it works")
    parser.add_argument("--compile", action="store_true", help="also with both networks compiled, in minutes")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--clock", choices=CLOCKS, default="wall", help="cpu where others use the machine too")
    parser.add_argument("--docs", type=Path, default=Path("docs"), help="the folder to write to")
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    steps, batches, turns = QUICK if asked.quick else FULL
    print(machine(), flush=True)
    rows = measure(steps, batches, turns, asked.clock, compiling=asked.compile)
    added = overheads(batches[-1], steps, turns, asked.clock)
    kinds = spent(batches[-1], steps)
    options = "".join(f" --{name}" for name in ("quick", "compile") if getattr(asked, name))
    facts = [
        f"{turns} turns of {steps} steps each, pictures of {SIDE} x {SIDE}, U-Net of widths {WIDTHS} with "
        f"attention at the smallest, {asked.clock} clock; batch {batches[-1]} in the last two tables.",
        f"```sh\npython -m benchmarks.sampling{options} --threads {asked.threads} --clock {asked.clock}\n```",
        f"Measured on {datetime.now(UTC):%Y-%m-%d} on: {machine()}, diffusers {version('diffusers')}.",
    ]
    paragraphs = page(rows, added, kinds, facts)
    print("\n\n".join(paragraphs))
    publish(asked.docs / "sampling_speed.md", *paragraphs)
    result("page", asked.docs / "sampling_speed.md")


if __name__ == "__main__":
    main()
