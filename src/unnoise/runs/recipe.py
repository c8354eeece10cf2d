"""Recipe of a run: everything that a preset decides, whatever the pictures."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from unnoise.diffusion.conditioning import Condition
from unnoise.diffusion.guidance import Guidance
from unnoise.diffusion.mean_velocity import MeanVelocity
from unnoise.diffusion.noise_levels import AnyNoiseLevels, UniformTimes
from unnoise.diffusion.objectives import Objective
from unnoise.diffusion.samplers.sampling import Sampling
from unnoise.diffusion.schedules import AnySchedule, OffsetCosine, require_noise_shift
from unnoise.networks import NetworkConfig, UNetConfig
from unnoise.optim.ema import EMAConfig
from unnoise.optim.optimizers import OptimizerConfig
from unnoise.runs.conversion import changed
from unnoise.utils.errors import require


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Recipe of a run: everything that a preset decides, whatever the pictures."""

    network: NetworkConfig = UNetConfig()
    schedule: AnySchedule = OffsetCosine()
    objective: Objective = Objective()
    noise_levels: AnyNoiseLevels = UniformTimes()
    noise_shift: float = 1.0
    """Factor of noise / signal in schedule and noise levels, for larger pictures; see `schedules.shifted`."""
    condition: Condition = "variance"
    normalization: Literal["dataset", "imagenet", "symmetric"] = "dataset"
    optimizer: OptimizerConfig = OptimizerConfig()
    ema: EMAConfig = EMAConfig()
    batch_size: int = 64
    offset_noise: float = 0.0
    class_dropout: float = 0.1
    clusters: int = 0
    """Clusters of pictures that the network is told of where there are no labels, at most; see `Clusters`."""
    sampling: Sampling = Sampling()
    autoguidance: float = 1.0
    """Scale of guidance away from a weaker average when pictures are drawn; see `runs.autoguidance`."""
    guided_sampling: Sampling | None = None
    """How pictures are drawn with it; None for `sampling`."""
    find_polish: bool = False
    """Whether training finds how much to polish pictures (`Sampling.polish`), by their fine detail."""
    mean_velocity: MeanVelocity | None = None
    """Training of the mean velocity, by which a run learns to draw in few calls; see `unnoise distill`."""

    def __post_init__(self) -> None:
        require_noise_shift(self.noise_shift)
        Guidance(scale=self.autoguidance)  # refuses scales below 0
        require(0 <= self.clusters <= 1024, f"There are 0 to 1024 clusters, but got {self.clusters:,}. Try 64.")
        size = self.batch_size
        require(size >= 1, f"The batch size is at least 1, but got {size}. Try 64.")
        require(size <= 1_000_000, f"The batch size is at most 1,000,000, but got {size:,}. Try 64.")
        require(
            self.batch_size >= 2 or getattr(self.network, "normalization", "group") == "group",
            "BatchNorm needs at least 2 pictures per step, but the batch size is 1. Try 64.",
        )

    def drawn(self, *, guided: bool) -> Sampling:
        """How pictures are drawn with autoguidance, or without."""
        return (self.guided_sampling if guided else None) or self.sampling

    def with_polish(self, level: float) -> "Recipe":
        """The recipe with this polish of pictures, guided ones too."""
        guided = self.guided_sampling and replace(self.guided_sampling, polish=level)
        return replace(self, sampling=replace(self.sampling, polish=level), guided_sampling=guided)

    def changed(self, changes: Sequence[str]) -> "Recipe":
        """A copy with some values changed, each given as path=value: objective.loss=l1.

        Changes of the sampling hold for guided pictures, too. A polish that is given is not looked for.

        Values are JSON, or words without quotes: batch_size=32, network.attention=["none", "linear"].

        Raises:
            UnnoiseError: for a path that does not exist, or a value that does not fit.
        """
        paths, recipe = [change.partition("=")[0] for change in changes], self
        if any(path.startswith("sampling") for path in paths):
            recipe = replace(recipe, guided_sampling=None)
        if any(path.endswith("sampling.polish") for path in paths):
            recipe = replace(recipe, find_polish=False)
        return changed(recipe, changes, "The changed recipe")
