"""Configuration of a run: all of config.json."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from unnoise.data import ImageSet
from unnoise.data.batches import Split
from unnoise.diffusion.denoiser import Denoiser
from unnoise.diffusion.diffusion import Diffusion
from unnoise.diffusion.noise_levels import shifted_levels
from unnoise.diffusion.normalizer import Normalizer
from unnoise.diffusion.schedules import Schedule, shifted
from unnoise.diffusion.seeds import require_seeds
from unnoise.diffusion.tensors import Classes
from unnoise.networks import Network, OwnConfig, build
from unnoise.runs.conversion import plain, structured
from unnoise.runs.data_config import DataConfig
from unnoise.runs.footprint import pictures_that_fit
from unnoise.runs.recipe import Recipe
from unnoise.utils import json_text
from unnoise.utils.errors import UnnoiseError, require
from unnoise.utils.precision import Precision

FORMAT = 1
"""Version of config.json and of the run folder; raised when an older unnoise could no longer read them."""


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
    """Pictures that the network takes at once where it draws or measures, at most; set once memory ran out.
    On a CPU there are no more than are forecast to fit, either."""
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
        size = self.pictures_at_once
        require(size is None or size >= 1, f"pictures_at_once is at least 1, but got {size}.")
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
        made = Diffusion(
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
        made.denoiser.pieces.size = self._pictures_at_once(made.denoiser.device)
        return made

    def denoiser(self, device: torch.device | str = "cpu") -> Denoiser:
        """Builds the `Denoiser` of this run, in eval mode, for weights that are loaded into its network."""
        made = Denoiser(
            self._network().eval().requires_grad_(False),
            self.data.image_shape,
            normalizer=self.normalizer,
            schedule=self.schedule,
            objective=self.recipe.objective,
            condition=self.recipe.condition,
            device=device,
            precision=self.precision,
        )
        made.pieces.size = self._pictures_at_once(made.device)
        return made

    def _pictures_at_once(self, device: torch.device) -> int | None:
        """What was found once, and on a CPU no more than what is forecast: its system kills what takes more."""
        forecast = None
        if device.type == "cpu":
            forecast = pictures_that_fit(self.recipe, self.data.height, self.data.width)
        return min(filter(None, (self.pictures_at_once, forecast)), default=None)

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
