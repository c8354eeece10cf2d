"""Fine-tuning: the run whose weights a new run starts from, and its recipe for other pictures."""

from dataclasses import replace
from pathlib import Path

from unnoise.data import ImageSet
from unnoise.runs.checkpoint import Run
from unnoise.runs.config import RunConfig
from unnoise.runs.presets import PRESETS, recipe
from unnoise.runs.recipe import Recipe
from unnoise.utils.errors import require

_OF_THE_SIZE = ("noise_shift", "sampling", "guided_sampling")
"""What a preset chooses by the size of the pictures, and a trained network can do without."""


def fine_tuned(path: Path) -> Run:
    """The run in this folder, whose weights a new run starts from.

    Raises:
        UnnoiseError: for a run that learned to draw in one or two long steps.
    """
    run = Run.open(path)
    require(
        not run.config.jumps,
        f"{path} learned to draw in one or two long steps, and cannot be fine-tuned. Fine-tune "
        f"{run.config.in_small_steps}, and distil the result.",
    )
    return run


def recipe_for(images: ImageSet, config: RunConfig) -> Recipe:
    """The recipe of a run, for pictures of other channels and another size.

    What its preset had chosen by the size is chosen anew: larger pictures stay recognisable under more noise.
    """
    chosen = config.recipe.changed([f"network.channels={images.channels}"])
    if chosen.find_polish:  # the new run finds its own
        chosen = chosen.with_polish(0.0)
    if config.preset not in PRESETS:
        return chosen
    then, now = (
        recipe(config.preset, images.channels, *size)
        for size in ((config.data.height, config.data.width), (images.height, images.width))
    )
    same = [name for name in _OF_THE_SIZE if getattr(chosen, name) == getattr(then, name)]
    return replace(chosen, **{name: getattr(now, name) for name in same})
