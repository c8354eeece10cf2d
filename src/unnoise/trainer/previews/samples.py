"""Samples of previews, and the loss of held-out pictures."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeAlias

import torch

from unnoise.diffusion.denoiser import Denoiser
from unnoise.diffusion.diffusion import Diffusion
from unnoise.diffusion.tensors import Images, SomeClasses, SomePixels
from unnoise.runs.autoguidance import load_as_it_draws
from unnoise.runs.checkpoint import Run
from unnoise.runs.config import RunConfig
from unnoise.trainer.previews.sizes import SAMPLE_SEEDS, PreviewSize

Batch: TypeAlias = tuple[SomePixels, SomeClasses | None]


class Interrupted(Exception):  # noqa: N818 (nothing is wrong)
    """Sampling was interrupted because the run is to stop."""


def draw_samples(
    denoiser: Denoiser,
    config: RunConfig,
    places: range,
    num_steps: int | None = None,
    *,
    each_step: Callable[[], None] = lambda: None,
) -> Images:
    """The samples at these places of the sample sheet, (B, C, H, W) in [0, 1], without polish.

    Args:
        num_steps: of the sampler; those of the run's sampling if left out.
        each_step: called after each step; an exception from it ends the work.
    """
    seed, classes = SAMPLE_SEEDS.start + places.start, config.classes(places)
    sampling = replace(config.recipe.drawn(guided=denoiser.autoguidance is not None), polish=0.0)
    if num_steps is not None:
        sampling = replace(sampling, num_steps=num_steps)
    return denoiser.generate(len(places), seed=seed, sampling=sampling, classes=classes, each_step=each_step)


def draw_sheet(
    run: Run,
    diffusion: Diffusion,
    draw: Callable[[PreviewSize], Images],
    each_step: Callable[[], None],
    size: PreviewSize,
) -> Images:
    """The samples of a sheet: drawn by `draw`, or as `unnoise generate` draws where they are guided.

    The guided ones are drawn by this process alone, from the weights and the earlier average that it stored.
    """
    if not size.guided:
        return draw(size)
    denoiser = load_as_it_draws(run, diffusion.ema.device)
    return draw_samples(denoiser, run.config, range(size.pictures), size.num_steps, each_step=each_step)


def held_out_loss(diffusion: Diffusion, held_out: Sequence[Batch]) -> float | None:
    """Loss of the averaged network on held-out batches, the same noises each time; None without batches."""
    if not held_out:
        return None
    generator = torch.Generator(diffusion.ema.device).manual_seed(0)
    total = sum(
        float(diffusion.test_step(*batch, generator=generator).loss) * len(batch[0]) for batch in held_out
    )
    return total / sum(len(pictures) for pictures, _ in held_out)
