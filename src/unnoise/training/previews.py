"""What is looked at while a run trains: the loss of held-out pictures, and the same few samples all along."""

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
"""The same seeds all along, so that one sees the same pictures become clear."""


class Interrupted(Exception):  # noqa: N818 (nothing is wrong)
    """Drawing was given up, since the run is to stop."""


_COARSE, _FEWEST_STEPS = 3, 20


def draw_samples(
    denoiser: Denoiser,
    config: RunConfig,
    places: range,
    fine: bool = True,
    *,
    each_step: Callable[[], None] = lambda: None,
) -> Images:
    """The pictures at these places of the sample sheet, (B, C, H, W) in [0, 1].

    Where they need not be `fine`, a third of the steps will do, if that leaves 20: on the way the network is
    what makes pictures coarse.
    """
    seed = SAMPLE_SEEDS.start + places.start
    sampling, classes = config.recipe.sampling, config.classes(places)
    if not fine:
        steps = min(sampling.num_steps, max(_FEWEST_STEPS, sampling.num_steps // _COARSE))
        sampling = replace(sampling, num_steps=steps)
    return denoiser.generate(len(places), seed=seed, sampling=sampling, classes=classes, each_step=each_step)


def held_out_loss(diffusion: Diffusion, held_out: Sequence[Batch]) -> float | None:
    """The averaged network's loss on these batches, with the same noises each time; None without pictures."""
    if not held_out:
        return None
    generator = torch.Generator(diffusion.ema.device).manual_seed(0)
    total = sum(
        float(diffusion.test_step(*batch, generator=generator).loss) * len(batch[0]) for batch in held_out
    )
    return total / sum(len(pictures) for pictures, _ in held_out)
