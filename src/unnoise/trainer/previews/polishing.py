"""Polish of sample sheets: found for each sheet anew while the network learns, and kept at the end of a run."""

from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path

from unnoise.data.batches import Indices, Pictures
from unnoise.diffusion.denoiser import Denoiser
from unnoise.diffusion.tensors import Images
from unnoise.evaluation.grain import Distribution, contrasts_of, find_polish, polished_samples
from unnoise.runs.checkpoint import Run
from unnoise.runs.config import RunConfig
from unnoise.trainer.monitoring import Monitor
from unnoise.trainer.previews.sizes import SAMPLE_SEEDS

_FEWEST = 6


class SheetPolish:
    """Polishes sample sheets of a run: each as much as brings its fine detail nearest to that of the pictures.

    Args:
        config, denoiser: of the run; the network is the averaged one.
        pictures, training: the pictures, and the indices of those that are learned from.
    """

    def __init__(self, config: RunConfig, denoiser: Denoiser, pictures: Pictures, training: Indices) -> None:
        self.level: float | None = None
        """The polish of the last sheet; None before the first of more than a few samples."""
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

    def __call__(self, images: Images) -> Images:
        """The samples of the first places of a sheet, (B, C, H, W) in [0, 1], polished."""
        if len(images) < _FEWEST:
            return images
        classes = self._config.classes(range(len(images)))
        if classes is None:
            seeds = range(SAMPLE_SEEDS.start, SAMPLE_SEEDS.start + len(images))
            classes = self._denoiser.abilities.classes_of_seeds(seeds)
        how = partial(polished_samples, self._denoiser, images, classes)
        self.level, polished = find_polish(images, self._contrasts, how)
        return polished

    def keep(self, path: Path) -> None:
        """Writes the polish of the last sheet into config.json of a run's folder: it draws so from now on."""
        if self.level is None:
            return
        run = Run.open(path)
        recipe = run.config.recipe.with_polish(self.level)
        if recipe != run.config.recipe:
            run.with_config(replace(run.config, recipe=recipe))
