"""Polish of sample sheets: found for each sheet anew while the network learns, and kept at the end of a run."""

from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path

import torch

from unnoise.data.batches import Indices, Pictures
from unnoise.diffusion.denoiser import Denoiser
from unnoise.diffusion.tensors import Images
from unnoise.evaluation.grain import Distribution, contrasts_of, find_polish, polished_samples
from unnoise.runs.autoguidance import load_as_it_draws
from unnoise.runs.checkpoint import Run
from unnoise.runs.config import RunConfig
from unnoise.trainer.monitoring import Monitor
from unnoise.trainer.previews.samples import draw_samples
from unnoise.trainer.previews.sizes import SAMPLE_SEEDS, PreviewSize, last_preview_sizes

_FEWEST, _ENOUGH = 6, 24
"""Samples by which a polish is found: fewer than that say little, and more little more."""


class SheetPolish:
    """Polishes sample sheets of a run: each as much as brings its fine detail nearest to that of the pictures.

    Args:
        config, denoiser: of the run; the network is the averaged one.
        pictures, training: the pictures, and the indices of those that are learned from.
    """

    def __init__(self, config: RunConfig, denoiser: Denoiser, pictures: Pictures, training: Indices) -> None:
        self.level: float | None = None
        """The polish of the last sheet; None before the first of more than a few samples."""
        self._settled = False
        self._config, self._denoiser = config, denoiser
        self._pictures, self._training = pictures, training

    @classmethod
    def wanted(cls, config: RunConfig, denoiser: Denoiser, seen: Monitor) -> "SheetPolish | None":
        """That of a run which is monitored; None where its recipe does not ask for one."""
        asked = config.recipe.find_polish
        return cls(config, denoiser, seen.pictures, seen.parts.training) if asked else None

    @cached_property
    def _contrasts(self) -> Distribution:
        return contrasts_of(self._pictures, self._training)

    def __call__(self, images: Images, size: PreviewSize) -> Images:
        """The samples of the first places of a sheet, (B, C, H, W) in [0, 1], polished."""
        if len(images) < _FEWEST:
            return images
        recipe = self._config.recipe
        largest = last_preview_sizes(recipe.sampling, recipe.drawn(guided=True) if size.guided else None)[-1]
        self._settled = size.calls == largest.calls
        some = images[:_ENOUGH]
        self.level, polished = find_polish(some, self._contrasts, partial(self._polished, some))
        rest = images[_ENOUGH:]
        if len(rest) > 0 and self.level > 0:
            rest = self._polished(rest, self.level, first=_ENOUGH)
        return torch.cat([polished, rest])

    def _polished(self, images: Images, level: float, first: int = 0) -> Images:
        classes = self._config.classes(range(first, first + len(images)))
        if classes is None:
            classes = self._denoiser.abilities.classes_of_seeds(SAMPLE_SEEDS[first : first + len(images)])
        return polished_samples(self._denoiser, images, classes, level)

    def settle(self, denoiser: Denoiser) -> None:
        """Finds the polish by samples of a denoiser that draws as the run does."""
        samples = draw_samples(denoiser, self._config, range(_ENOUGH))
        self.level = find_polish(samples, self._contrasts, partial(self._polished, samples))[0]

    def keep(self, path: Path, *, ended: bool) -> None:
        """Writes the polish into config.json of a run's folder, which draws so from now on.

        Where training has `ended` it is found by samples that are drawn as the run draws, so that it does not
        depend on the time that there was for the last sheet; otherwise it is that of the last sheet.
        """
        run = Run.open(path)
        if ended and not self._settled:
            self.settle(load_as_it_draws(run, self._denoiser.device))
        if self.level is None:
            return
        recipe = run.config.recipe.with_polish(self.level)
        if recipe != run.config.recipe:
            run.with_config(replace(run.config, recipe=recipe))
