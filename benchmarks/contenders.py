"""Contenders of `time_to_quality`: unnoise and other libraries behind one interface.

All share the pictures, which come from memory in batches, the threads and the clock.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.other_libraries import Diffusers, Lucidrains, SmallDiffusion
from unnoise.api.reporting import tell
from unnoise.data import ImageSet
from unnoise.data.batches import Batches
from unnoise.diffusion.autoguidance import guided_by
from unnoise.diffusion.guidance import Guidance
from unnoise.runs.config import Budget
from unnoise.runs.plan import TrainOptions, plan
from unnoise.runs.snapshots import LEARNED_STEPS, STILL_WEAKER, WEAKER
from unnoise.trainer.loop import steps
from unnoise.trainer.precision_choice import choose_precision
from unnoise.trainer.previews import SheetPolish
from unnoise.trainer.train_step import TrainStep

_DRAWN_AT_ONCE = 100
_LAST_STEP = 1 - 1e-9
_AVERAGES, _WEAKER = 16, "weaker/"


class Contender(Protocol):
    """A network in training."""

    batch_size: int
    sampler: str
    calls: int

    def step(self, spent: float) -> None:
        """Trains on the next batch, when this fraction of the budget is spent."""
        ...

    @property
    def network(self) -> nn.Module:
        """The network that is trained; its parameters are counted."""
        ...

    def weights(self) -> Mapping[str, Tensor]:
        """The weights that it would sample with now."""
        ...

    def restore(self, weights: Mapping[str, Tensor]) -> None:
        """Samples with these weights from now on, and is not trained any further."""
        ...

    def draw(self, count: int, seed: int) -> Tensor:
        """So many pictures, (count, C, H, W), about in [0, 1]."""
        ...


@torch.no_grad()
def sample(contender: Contender, count: int, seed: int) -> Iterator[Tensor]:
    """Pictures in batches of bytes, (B, C, H, W), rounded in the same way for all contenders."""
    with torch.random.fork_rng(devices=[]):
        for first in range(0, count, _DRAWN_AT_ONCE):
            torch.manual_seed(seed + first)
            images = contender.draw(min(_DRAWN_AT_ONCE, count - first), seed + first)
            yield (images.nan_to_num() * 255).round().clamp(0, 255).to(torch.uint8)


class Earlier(NamedTuple):
    """An average from earlier in the training."""

    step: int
    tensors: Mapping[str, Tensor]


class Unnoise:
    """`unnoise train PICTURES --minutes M [--preset NAME] [--set CHANGE ...]`, by the same training loop."""

    def __init__(
        self,
        images: ImageSet,
        minutes: float,
        seed: int,
        preset: str | None = None,
        changes: Sequence[str] = (),
    ) -> None:
        budget = Budget(unit="minutes", amount=minutes)
        options = TrainOptions(seed=seed, held_out=0, budget=budget, preset=preset, changes=tuple(changes))
        config = plan(images, options)
        config = replace(config, precision=choose_precision(config).precision)
        self.diffusion = config.build()
        guided = config.recipe.autoguidance != 1
        self.batch_size, sampling = config.recipe.batch_size, config.recipe.drawn(guided=guided)
        self.calls = sampling.calls(self.diffusion.schedule)
        self.sampler = f"{sampling.sampler}, {sampling.num_steps} steps"
        self.sampler += f", eta {sampling.eta:g}" if sampling.sampler == "ddim" else ""
        if guided:
            self.calls *= 2
            self.sampler += f", autoguidance {config.recipe.autoguidance:g}"
        if config.recipe.find_polish:
            self.calls, self.sampler = self.calls + 1, f"{self.sampler}, polish"
        batches = Batches(images, np.arange(len(images)), self.batch_size, seed, flip=config.data.flip)
        self._spent, self._config, self._drawer = 0.0, config, self.diffusion.ema
        self._images = images
        self._earlier: dict[float, Earlier] = {}
        self._steps: Iterator[TrainStep] = steps(
            self.diffusion,
            batches,
            budget,
            seed=seed,
            spent=lambda _: min(self._spent, _LAST_STEP),
        )

    def step(self, spent: float) -> None:
        """The learning rate follows the seconds of this contender, since others train in between."""
        self._spent = spent
        next(self._steps)
        share, averages = int(spent * _AVERAGES) / _AVERAGES, self.diffusion.weights.profiles
        if self._config.recipe.autoguidance != 1 and averages.networks and 0 < share not in self._earlier:
            tensors = averages.networks[-1].state_dict()
            copy = {name: tensor.clone() for name, tensor in tensors.items()}
            self._earlier[share] = Earlier(averages.profiles[-1].step, copy)

    @property
    def network(self) -> nn.Module:
        """The network that is trained."""
        return self.diffusion.network

    def weights(self) -> Mapping[str, Tensor]:
        """Averaged weights, and those of the weaker average that guides them, as a run stores it."""
        weights = dict(self.diffusion.ema.network.state_dict())
        shares = [each for each in sorted(self._earlier) if WEAKER <= each / self._spent <= STILL_WEAKER]
        learned = [each for each in shares if self._earlier[each].step >= LEARNED_STEPS]
        weaker = self._earlier[learned[0]].tensors if learned else {}
        return weights | {_WEAKER + name: tensor for name, tensor in weaker.items()}

    def restore(self, weights: Mapping[str, Tensor]) -> None:
        """Loads averaged weights, guided by the weaker ones where there are any."""
        own = {name: each for name, each in weights.items() if not name.startswith(_WEAKER)}
        weaker = {name.removeprefix(_WEAKER): weights[name] for name in weights.keys() - own.keys()}
        self._drawer = self.diffusion.ema
        self._drawer.precision = "float32"  # as the others draw
        self._drawer.network.load_state_dict(own)
        if weaker:
            other = self._config.denoiser(self._drawer.device)
            other.network.load_state_dict(weaker)
            self._drawer = guided_by(self._drawer, other, Guidance(scale=self._config.recipe.autoguidance))
        if self._config.recipe.find_polish:
            self._find_polish()

    def _find_polish(self) -> None:
        """Finds the polish of these weights, as a run does at the end of its training."""
        found = SheetPolish(self._config, self._drawer, self._images, np.arange(len(self._images)))
        found.settle(self._drawer)
        recipe = self._config.recipe.with_polish(found.level or 0.0)
        self._config = replace(self._config, recipe=recipe)

    def draw(self, count: int, seed: int) -> Tensor:
        """Samples as the preset does."""
        sampling = self._config.recipe.drawn(guided=self._drawer.autoguidance is not None)
        return self._drawer.generate(count, seed=seed, sampling=sampling)


@dataclass(frozen=True)
class Entry:
    """A contender whose library may be installed or not.

    Args:
        title: its name in tables.
        package: that is installed.
        build: (images, minutes, seed) -> contender.
    """

    title: str
    package: str
    build: Any

    @property
    def module(self) -> str:
        """The name that it is imported by."""
        return self.package.replace("-", "_")

    @property
    def installed(self) -> bool:
        """Whether the package is installed."""
        return find_spec(self.module) is not None

    @property
    def version(self) -> str:
        """Version of the package."""
        return version(self.package)


ENTRIES: Mapping[str, Entry] = {
    "unnoise": Entry("unnoise", "unnoise", Unnoise),
    "lucidrains": Entry("denoising-diffusion-pytorch", "denoising-diffusion-pytorch", Lucidrains),
    "diffusers": Entry("diffusers", "diffusers", Diffusers),
    "smalldiffusion": Entry("smalldiffusion", "smalldiffusion", SmallDiffusion),
}
"""In the order of the tables. How each is trained is written in docs/time_to_quality.md."""


def installed(names: Sequence[str]) -> list[str]:
    """Those of these contenders whose library is installed; says which are not."""
    for name in names:
        if not ENTRIES[name].installed:
            tell(f"{ENTRIES[name].title} is left out, because it is not installed; `make bench` installs it.")
    return [name for name in names if ENTRIES[name].installed]
