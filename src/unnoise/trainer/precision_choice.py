"""Choice of precision before a run's first step on a CPU: bfloat16 where its steps are measured to be faster.

A rehearsed step, forward and backward, is timed in float32 and under bfloat16 autocast, in turns. Weights,
averages, losses and statistics are float32 in both, so that what is learned is the same but for rounding.
"""

import time
from collections.abc import Callable
from statistics import median
from typing import NamedTuple

import torch
from torch import distributed

from unnoise.diffusion.diffusion import Diffusion
from unnoise.diffusion.tensors import Classes, Pixels
from unnoise.runs.compiling import rehearse
from unnoise.runs.config import Budget, RunConfig
from unnoise.runs.footprint import network_size
from unnoise.utils.malloc import keep_freed_memory
from unnoise.utils.out_of_memory import is_out_of_memory
from unnoise.utils.precision import FASTER, Precision, bfloat16_is_fast

_TURNS = 3
_GIGAFLOPS, _SECONDS = 8.0, 10.0
"""As many pictures are timed together as have so many GFLOP in the forward pass, but at least one. Once the
turns have taken so many seconds, only the first two are made."""
_FEWEST_PIECES, _FEWEST_MINUTES = 200, 0.5
"""Runs of fewer than 200 times the pictures that are timed, or of fewer minutes, would wait longer for the
measurement than they could gain."""


class PrecisionChoice(NamedTuple):
    """The precision of a run, and a sentence that says why; empty where nothing was measured."""

    precision: Precision
    why: str = ""


def choose_precision(config: RunConfig, clock: Callable[[], float] = time.perf_counter) -> PrecisionChoice:
    """The faster precision for a run on this machine's CPU.

    Args:
        config: of the run, in any precision.
        clock: seconds.
    """
    height, width = config.data.height, config.data.width
    per_image = network_size(config.recipe.network, height, width).gigaflops
    at_once = config.recipe.batch_size // (config.accumulate * _processes())
    count = max(1, min(at_once, int(_GIGAFLOPS / max(per_image, 1e-9))))
    if not worth_measuring(config.budget, config.recipe.batch_size, count) or not bfloat16_is_fast():
        return PrecisionChoice("float32")
    keep_freed_memory()  # as training does: else new pages would be timed, too
    images = torch.randint(
        256, (count, *config.data.image_shape), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    diffusion = config.build()
    classes = torch.zeros(count, dtype=torch.long) if diffusion.denoiser.abilities.num_classes else None
    try:
        whole, half = _seconds(diffusion, images, classes, clock)
    except Exception as error:
        if is_out_of_memory(error):  # training will cut its batches, and say so
            return PrecisionChoice("float32")
        raise
    chosen: Precision = "bfloat16" if whole >= FASTER * half else "float32"
    other = "float32" if chosen == "bfloat16" else "bfloat16"
    remedy = "" if config.distilled else f" --precision {other} overrides this."  # distill has no such option
    take = "1 picture takes" if count == 1 else f"{count} pictures take"
    return PrecisionChoice(
        chosen,
        f"Precision {chosen}: {take} {1e3 * half:,.0f} ms in bfloat16 and {1e3 * whole:,.0f} ms in "
        f"float32.{remedy}",
    )


def _seconds(
    diffusion: Diffusion, images: Pixels, classes: Classes | None, clock: Callable[[], float]
) -> tuple[float, float]:
    """Seconds of a rehearsed step in float32 and in bfloat16, medians of several in turns."""
    taken: dict[Precision, list[float]] = {"float32": [], "bfloat16": []}
    spent = 0.0
    for turn in range(_TURNS + 1):
        if turn > 1 and spent > _SECONDS:
            break
        for precision, seconds in taken.items():
            diffusion.set_precision(precision)
            began = clock()
            rehearse(diffusion, images, classes)
            seconds.append(clock() - began)
            spent += seconds[-1]
    # The first turn allocates, and plans the operations.
    whole, half = (median(seconds[1:]) for seconds in taken.values())
    return whole, half


def _processes() -> int:
    return distributed.get_world_size() if distributed.is_initialized() else 1


def worth_measuring(budget: Budget, batch_size: int, count: int) -> bool:
    """Whether a run is long enough to gain by the measurement, which takes some steps of `count` pictures."""
    if budget.unit == "minutes":
        return budget.amount >= _FEWEST_MINUTES
    images = budget.amount * (batch_size if budget.unit == "steps" else 1)
    return images >= _FEWEST_PIECES * count
