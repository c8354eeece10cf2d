"""A run is described whole by its config.json: nothing has to be retyped to use what was trained."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cattrs
import torch
from cattrs.strategies import configure_tagged_union

from unnoise.diffusion import Condition, Diffusion, Precision
from unnoise.ema import EMAConfig
from unnoise.errors import UnnoiseError, require
from unnoise.networks import UNet
from unnoise.networks.unet import UNetConfig
from unnoise.noise_levels import AnyNoiseLevels, UniformTimes
from unnoise.normalizer import Normalizer
from unnoise.objectives import Objective
from unnoise.optimizers import OptimizerConfig
from unnoise.samplers import require_eta, require_steps
from unnoise.schedules import AnySchedule, OffsetCosine
from unnoise.seeds import require_seeds

FORMAT = 1
"""Of config.json and of the folder around it; raised when an older unnoise could no longer read it."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How to train, whatever the pictures: everything that a preset decides."""

    network: UNetConfig = UNetConfig()
    schedule: AnySchedule = OffsetCosine()
    objective: Objective = Objective()
    noise_levels: AnyNoiseLevels = UniformTimes()
    condition: Condition = "variance"
    normalization: Literal["dataset", "imagenet", "symmetric"] = "dataset"
    optimizer: OptimizerConfig = OptimizerConfig()
    ema: EMAConfig = EMAConfig()
    batch_size: int = 64
    num_steps: int = 20
    eta: float = 0.0

    def __post_init__(self) -> None:
        require(self.batch_size >= 1, f"The batch size is at least 1, but got {self.batch_size}.")
        require_steps(self.num_steps)
        require_eta(self.eta)
        require(
            self.network.normalization == "group" or self.batch_size >= 2,
            "BatchNorm needs at least 2 pictures a step, but the batch size is 1: take 64.",
        )


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Which pictures, and how they were made the same size."""

    source: str
    height: int
    width: int
    channels: int
    fit: Literal["crop", "pad"] = "crop"
    background: tuple[int, int, int] = (255, 255, 255)
    flip: bool = False
    held_out: int = 0
    fingerprint: str = ""

    def __post_init__(self) -> None:
        require(
            min(self.height, self.width, self.channels) >= 1,
            f"Pictures have at least 1 row, column and channel, but got {self.height} x {self.width} x "
            f"{self.channels}.",
        )

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(channels, height, width)."""
        return self.channels, self.height, self.width


@dataclass(frozen=True, kw_only=True)
class Budget:
    """How long a run lasts: so many steps, images, or minutes. The learning rate falls with what is spent.

    Raises:
        UnnoiseError: unless the amount is above 0.
    """

    unit: Literal["steps", "images", "minutes"] = "minutes"
    amount: float = 10.0

    def __post_init__(self) -> None:
        require(
            0 < self.amount < float("inf"),
            f"A run lasts for more than 0 {self.unit}, but got {self.amount:g}.",
        )

    def spent(self, steps: int, images: int, seconds: float) -> float:
        """The fraction of the budget that is used up, from 0; 1 and above mean the end."""
        return {"steps": steps, "images": images, "minutes": seconds / 60}[self.unit] / self.amount


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """All of config.json."""

    format: int = FORMAT
    preset: str = "default"
    seed: int = 0
    precision: Precision = "float32"
    budget: Budget = Budget()
    data: DataConfig
    normalizer: Normalizer
    recipe: Recipe

    def __post_init__(self) -> None:
        require_seeds([self.seed])
        require(
            self.data.channels == self.recipe.network.channels,
            f"The pictures have {self.data.channels} channels, but the network {self.recipe.network.channels}.",
        )

    def build(self, device: torch.device | str = "cpu") -> Diffusion:
        """A `Diffusion` as this run's was at its first step: the seed decides the initial weights."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            network = UNet.from_config(self.recipe.network)
        recipe = self.recipe
        return Diffusion(
            network,
            self.data.image_shape,
            normalizer=self.normalizer,
            schedule=recipe.schedule,
            objective=recipe.objective,
            noise_levels=recipe.noise_levels,
            condition=recipe.condition,
            optimizer=recipe.optimizer,
            ema=recipe.ema,
            device=device,
            precision=self.precision,
        )

    def to_json(self) -> str:
        """The text of config.json."""
        return json.dumps(_converter().unstructure(self, RunConfig), indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str, where: Path) -> "RunConfig":
        """Reads the text of config.json; `where` names the file in errors.

        Raises:
            UnnoiseError: for broken JSON, unknown or missing keys, values of the wrong type or range, or a
                format that is newer than this unnoise.
        """
        try:
            data = json.loads(text)
        except ValueError as error:
            raise UnnoiseError(f"{where} is not valid JSON ({error}): restore it from a copy.") from None
        require(isinstance(data, dict), f"{where} holds no settings, but {type(data).__name__}.")
        found = data.get("format")
        require(
            isinstance(found, int), f"{where} is no run's config.json: its format is {found!r}, not a number."
        )
        require(
            found <= FORMAT,
            f"{where} has format {found}, but this unnoise reads up to {FORMAT}: upgrade unnoise to use it.",
        )
        try:
            return _converter().structure(data, RunConfig)
        except UnnoiseError as error:
            raise UnnoiseError(f"{where}: {error}") from None
        except Exception as error:  # noqa: BLE001 (cattrs raises groups of whatever went wrong inside)
            raise UnnoiseError(f"{where} can't be used: {_first_cause(error)}.") from None


def _first_cause(error: BaseException) -> str:
    messages = cattrs.transform_error(error, path="config", format_exception=_explain)
    return str(messages[0])


def _explain(error: BaseException, _: object) -> str:
    if isinstance(error, cattrs.ForbiddenExtraKeysError):
        return f"unknown key {', '.join(sorted(error.extra_fields))}"
    if isinstance(error, KeyError):
        return f"missing or unknown {error}"
    return str(error).rstrip(".")


def _converter() -> cattrs.Converter:
    """JSON to frozen dataclasses and back: strict in keys and types, unions told apart by a `kind`."""
    converter = cattrs.Converter(forbid_extra_keys=True)
    for strict in (bool, int, str):
        converter.register_structure_hook(strict, _strict)
    converter.register_structure_hook(float, _number)
    for union in (AnySchedule, AnyNoiseLevels):
        configure_tagged_union(union, converter, tag_name="kind")
    return converter


def _strict(value: object, kind: type) -> object:
    if type(value) is not kind:
        raise TypeError(f"expected {kind.__name__}, got {value!r}")
    return value


def _number(value: object, _: type) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"expected a number, got {value!r}")
    return float(value)
