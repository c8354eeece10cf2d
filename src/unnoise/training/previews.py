"""Previews of a run while it trains: the sample sheet and the loss of held-out pictures."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeAlias

import torch

from unnoise.diffusion.denoiser import Denoiser
from unnoise.diffusion.diffusion import Diffusion
from unnoise.diffusion.tensors import Images, SomeClasses, SomePixels
from unnoise.runs.config import RunConfig

Batch: TypeAlias = tuple[SomePixels, SomeClasses | None]

SAMPLE_SEEDS = range(36)
"""Seeds of the sample sheet, the same at each step, so that one sees the same pictures become clear."""


class Interrupted(Exception):  # noqa: N818 (nothing is wrong)
    """Sampling was interrupted because the run is to stop."""


_COARSE, _FEWEST_STEPS = 3, 20


def draw_samples(
    denoiser: Denoiser,
    config: RunConfig,
    places: range,
    fine: bool = True,
    *,
    each_step: Callable[[], None] = lambda: None,
) -> Images:
    """The samples at these places of the sample sheet, (B, C, H, W) in [0, 1].

    Args:
        fine: whether to take all steps of the run's sampling. A third of them, but no fewer than 20, is enough
            while the network itself is still coarse.
        each_step: called after each step; an exception from it ends the work.
    """
    seed = SAMPLE_SEEDS.start + places.start
    sampling, classes = config.recipe.sampling, config.classes(places)
    if not fine:
        steps = min(sampling.num_steps, max(_FEWEST_STEPS, sampling.num_steps // _COARSE))
        sampling = replace(sampling, num_steps=steps)
    return denoiser.generate(len(places), seed=seed, sampling=sampling, classes=classes, each_step=each_step)


def held_out_loss(diffusion: Diffusion, held_out: Sequence[Batch]) -> float | None:
    """Loss of the averaged network on held-out batches, the same noises each time; None without batches."""
    if not held_out:
        return None
    generator = torch.Generator(diffusion.ema.device).manual_seed(0)
    total = sum(
        float(diffusion.test_step(*batch, generator=generator).loss) * len(batch[0]) for batch in held_out
    )
    return total / sum(len(pictures) for pictures, _ in held_out)
