"""Configuration of a run: all of config.json."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from unnoise.data import ImageSet
from unnoise.data.batches import Split
from unnoise.diffusion.conditioning import Condition
from unnoise.diffusion.denoiser import Denoiser
from unnoise.diffusion.diffusion import Diffusion
from unnoise.diffusion.guidance import Guidance
from unnoise.diffusion.mean_velocity import MeanVelocity
from unnoise.diffusion.noise_levels import AnyNoiseLevels, UniformTimes, shifted_levels
from unnoise.diffusion.normalizer import Normalizer
from unnoise.diffusion.objectives import Objective
from unnoise.diffusion.samplers.sampling import Sampling
from unnoise.diffusion.schedules import AnySchedule, OffsetCosine, Schedule, require_noise_shift, shifted
from unnoise.diffusion.seeds import require_seeds
from unnoise.diffusion.tensors import Classes
from unnoise.networks import Network, NetworkConfig, OwnConfig, UNetConfig, build
from unnoise.optim.ema import EMAConfig
from unnoise.optim.optimizers import OptimizerConfig
from unnoise.runs.conversion import changed, plain, structured
from unnoise.runs.data_config import DataConfig
from unnoise.utils import json_text
from unnoise.utils.errors import UnnoiseError, require
from unnoise.utils.precision import Precision

FORMAT = 1
"""Version of config.json and of the run folder; raised when an older unnoise could no longer read them."""

_LARGEST_BATCH = 1_000_000


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
    mean_velocity: MeanVelocity | None = None
    """Training of the mean velocity, by which a run learns to draw in few calls; see `unnoise distill`."""

    def __post_init__(self) -> None:
        require_noise_shift(self.noise_shift)
        Guidance(scale=self.autoguidance)  # refuses scales below 0
        require(0 <= self.clusters <= 1024, f"There are 0 to 1024 clusters, but got {self.clusters:,}. Try 64.")
        require(self.batch_size >= 1, f"The batch size is at least 1, but got {self.batch_size}. Try 64.")
        require(
            self.batch_size <= _LARGEST_BATCH,
            f"The batch size is at most {_LARGEST_BATCH:,}, but got {self.batch_size:,}. Try 64.",
        )
        require(
            self.batch_size >= 2 or getattr(self.network, "normalization", "group") == "group",
            "BatchNorm needs at least 2 pictures per step, but the batch size is 1. Try 64.",
        )

    def drawn(self, *, guided: bool) -> Sampling:
        """How pictures are drawn with autoguidance, or without."""
        return (self.guided_sampling if guided else None) or self.sampling

    def changed(self, changes: Sequence[str]) -> "Recipe":
        """A copy with some values changed, each given as path=value: objective.loss=l1.

        Changes of the sampling hold for guided pictures, too.

        Values are JSON, or words without quotes: batch_size=32, network.attention=["none", "linear"].

        Raises:
            UnnoiseError: for a path that does not exist, or a value that does not fit.
        """
        sampled = any(change.startswith("sampling") for change in changes)
        return changed(replace(self, guided_sampling=None) if sampled else self, changes, "The changed recipe")


@dataclass(frozen=True, kw_only=True)
class Budget:
    """Budget of a run in steps, images or minutes; the learning rate follows the fraction that is spent.

    Raises:
        UnnoiseError: unless the amount is above 0.
    """

    unit: Literal["steps", "images", "minutes"] = "minutes"
    amount: float = 10.0

    def __post_init__(self) -> None:
        require(
            0 < self.amount < float("inf"),
            f"A run lasts for more than 0 {self.unit}, but got {self.amount:g}. Try 10.",
        )

    def spent(self, steps: int, images: int, seconds: float) -> float:
        """The fraction of the budget that is spent, from 0; 1 and above mean the end."""
        return {"steps": steps, "images": images, "minutes": seconds / 60}[self.unit] / self.amount


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """Configuration of a run: all of config.json."""

    format: int = FORMAT
    preset: str = "default"
    seed: int = 0
    precision: Precision = "float32"
    accumulate: int = 1
    """Gradient accumulation: number of pieces that a batch is cut into, for the same steps in less memory."""
    deterministic: bool = False
    """Whether deterministic kernels alone are used; see `trainer.deterministic`."""
    pictures_at_once: int | None = None
    """Pictures that the network takes at once where it draws or measures, at most; set once memory ran out."""
    checkpoint_activations: bool = False
    """Whether the backward pass computes the blocks' activations again, for the same steps in less memory."""
    budget: Budget = Budget()
    until_converged: bool = False
    """Whether the run ends before its budget once it has converged; see `trainer.monitoring`."""
    data: DataConfig
    normalizer: Normalizer
    recipe: Recipe
    init: str | None = None
    """Run from whose averaged weights this one started; a copy of them is its init.safetensors."""
    imported: str | None = None
    """Folder of the diffusers pipeline that this run was imported from, with its first weights."""

    def __post_init__(self) -> None:
        require_seeds([self.seed])
        require(
            1 <= self.accumulate <= self.recipe.batch_size,
            f"A batch of {self.recipe.batch_size} can be cut into 1 to {self.recipe.batch_size} pieces, but "
            f"accumulate is {self.accumulate}. Try 1.",
        )
        require(
            self.data.channels == self.recipe.network.channels,
            f"The pictures have {self.data.channels} channels, but the network {self.recipe.network.channels}. "
            "Restore config.json from a copy.",
        )

    @property
    def jumps(self) -> bool:
        """Whether the network draws in few calls, each over many noise levels; see `mean_velocity`."""
        return self.recipe.mean_velocity is not None

    @property
    def distilled(self) -> bool:
        """Whether it learned jumps alone, from walks of another run, and knows no velocity."""
        learned = self.recipe.mean_velocity
        return learned is not None and learned.walking is not None

    @property
    def autoguided(self) -> bool:
        """Whether the walks that it learns from are guided away from a weaker average."""
        learned = self.recipe.mean_velocity
        walking = None if learned is None else learned.walking
        return walking is not None and walking.autoguidance != 1

    @property
    def num_clusters(self) -> int:
        """Clusters of similar pictures that the network is told of; 0 for none."""
        network = self.recipe.network
        return network.num_classes if isinstance(network, OwnConfig) and network.clusters else 0

    @property
    def in_small_steps(self) -> str:
        """What to use instead where small steps are wanted, in words."""
        if not self.distilled:
            return "a run without mean_velocity"
        return "the run that it was distilled from" + ("" if self.init is None else f", {self.init}")

    def require_leader(self) -> None:
        """Raises `UnnoiseError` where the run that this one learns from is not known."""
        require(
            not self.distilled or self.init is not None,
            "mean_velocity.walking learns from walks of the run that this one starts from, but there is none. "
            "Start it by unnoise distill.",
        )

    @property
    def schedule(self) -> Schedule:
        """The schedule to train and to sample with: that of the recipe, shifted."""
        return shifted(self.recipe.schedule, self.recipe.noise_shift)

    def build(self, device: torch.device | str = "cpu") -> Diffusion:
        """Builds the `Diffusion` of this run before its first step; its weights depend on the seed alone."""
        recipe, network = self.recipe, self._network()
        network.checkpointing = self.checkpoint_activations
        return Diffusion(
            network,
            self.data.image_shape,
            normalizer=self.normalizer,
            schedule=self.schedule,
            objective=recipe.objective,
            noise_levels=shifted_levels(recipe.noise_levels, recipe.noise_shift),
            condition=recipe.condition,
            class_dropout=recipe.class_dropout,
            offset_noise=recipe.offset_noise,
            mean_velocity=recipe.mean_velocity,
            optimizer=recipe.optimizer,
            ema=recipe.ema,
            device=device,
            precision=self.precision,
        )

    def denoiser(self, device: torch.device | str = "cpu") -> Denoiser:
        """Builds the `Denoiser` of this run, in eval mode, for weights that are loaded into its network."""
        return Denoiser(
            self._network().eval().requires_grad_(False),
            self.data.image_shape,
            normalizer=self.normalizer,
            schedule=self.schedule,
            objective=self.recipe.objective,
            condition=self.recipe.condition,
            device=device,
            precision=self.precision,
        )

    def _network(self) -> Network:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            return build(self.recipe.network)

    def split(self, images: ImageSet) -> Split:
        """The training and held-out pictures of this run; of other pictures than its own, all are held out."""
        if images.fingerprint == self.data.fingerprint:
            return self.data.split(len(images), self.seed)
        return Split(np.arange(0), np.arange(len(images)))

    def classes(self, places: Sequence[int], wanted: Sequence[str] = ()) -> Classes | None:
        """The class of each picture: the wanted ones in turn, or all in turn; None for a run without classes.

        Raises:
            UnnoiseError: for a name that is not a class of this run.
        """
        names = self.data.classes
        for name in wanted:
            require(
                name in names,
                f"This run knows no class {name!r}. Choose from {', '.join(names)}."
                if names
                else "This run knows no classes. Train one with --labels to choose among classes.",
            )
        if not names:
            return None
        known = [names.index(name) for name in wanted] or range(len(names))
        return torch.tensor([known[place % len(known)] for place in places], dtype=torch.int64)

    def to_json(self) -> str:
        """The text of config.json."""
        return json.dumps(plain(self), indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str, where: Path) -> "RunConfig":
        """Reads the text of config.json; `where` names the file in errors.

        Raises:
            UnnoiseError: for broken JSON, unknown or missing keys, values of the wrong type or range, or a
                format that is newer than this unnoise.
        """
        try:
            data = json_text.parse(text)
        except ValueError as error:
            raise UnnoiseError(f"{where} is not valid JSON ({error}). Restore it from a copy.") from None
        require(
            isinstance(data, dict),
            f"{where} holds a {type(data).__name__} instead of settings. Restore it from a copy.",
        )
        found = data.get("format")
        require(
            isinstance(found, int),
            f"{where} is not the config.json of a run: its format is {found!r}, not a number. Restore it "
            "from a copy.",
        )
        require(
            found <= FORMAT,
            f"{where} has format {found}, but this unnoise reads formats up to {FORMAT}. Upgrade unnoise.",
        )
        return structured(data, cls, str(where))
