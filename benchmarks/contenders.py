"""Whatever trains on pictures for some minutes, and then draws, can be compared.

What contenders share is what is not theirs: the pictures, which come from memory in batches, the threads and
the clock.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.peers import BATCH, Diffusers, Lucidrains, SmallDiffusion
from unnoise.cli.console import say
from unnoise.data import ImageSet
from unnoise.data.batches import Batches
from unnoise.runs.config import Budget
from unnoise.runs.plan import Wishes, plan
from unnoise.training.loop import steps
from unnoise.training.recorder import TrainStep

_DRAWN_AT_ONCE = 100
_LAST_STEP = 1 - 1e-9


class Contender(Protocol):
    """A network in training."""

    batch_size: int
    sampler: str
    calls: int

    def step(self, spent: float) -> None:
        """Trains on the next batch, once this fraction of the budget is spent."""
        ...

    @property
    def network(self) -> nn.Module:
        """What is trained; its parameters are counted."""
        ...

    def weights(self) -> Mapping[str, Tensor]:
        """What it would draw with now."""
        ...

    def restore(self, weights: Mapping[str, Tensor]) -> None:
        """Draws with these from now on; it is not trained any further."""
        ...

    def draw(self, count: int, seed: int) -> Tensor:
        """So many pictures, (count, C, H, W), about in [0, 1]."""
        ...


@torch.no_grad()
def sample(contender: Contender, count: int, seed: int) -> Iterator[Tensor]:
    """Pictures in batches as bytes, (B, C, H, W): rounding meets all alike."""
    with torch.random.fork_rng(devices=[]):
        for first in range(0, count, _DRAWN_AT_ONCE):
            torch.manual_seed(seed + first)
            images = contender.draw(min(_DRAWN_AT_ONCE, count - first), seed + first)
            yield (images.nan_to_num() * 255).round().clamp(0, 255).to(torch.uint8)


class Unnoise:
    """What `unnoise train PICTURES --minutes M [--preset NAME]` trains, by the loop it trains by."""

    def __init__(self, images: ImageSet, minutes: float, seed: int, preset: str | None = None) -> None:
        budget = Budget(unit="minutes", amount=minutes)
        config = plan(images, Wishes(seed=seed, held_out=0, budget=budget, preset=preset))
        self.diffusion = config.build()
        self.batch_size, self._sampling = config.recipe.batch_size, config.recipe.sampling
        self.calls = self._sampling.calls(self.diffusion.schedule)
        self.sampler = f"{self._sampling.sampler}, {self._sampling.num_steps} steps"
        self.sampler += f", eta {self._sampling.eta:g}" if self._sampling.sampler == "ddim" else ""
        batches = Batches(images, np.arange(len(images)), self.batch_size, seed, flip=config.data.flip)
        self._spent = 0.0
        self._steps: Iterator[TrainStep] = steps(
            self.diffusion,
            batches,
            budget,
            seed=seed,
            accumulate=config.accumulate,
            spent=lambda _: min(self._spent, _LAST_STEP),
        )

    def step(self, spent: float) -> None:
        """The learning rate follows the training's own seconds, since others train in between."""
        self._spent = spent
        next(self._steps)

    @property
    def network(self) -> nn.Module:
        """What is trained."""
        return self.diffusion.network

    def weights(self) -> Mapping[str, Tensor]:
        """Of the average."""
        return self.diffusion.average.network.state_dict()

    def restore(self, weights: Mapping[str, Tensor]) -> None:
        """Into the average."""
        self.diffusion.average.network.load_state_dict(weights)

    def draw(self, count: int, seed: int) -> Tensor:
        """As the preset draws."""
        return self.diffusion.generate(count, seed=seed, sampling=self._sampling)


@dataclass(frozen=True)
class Entry:
    """A contender that may be installed or not."""

    title: str
    package: str
    build: Any
    words: str

    @property
    def module(self) -> str:
        """Under which it is imported."""
        return self.package.replace("-", "_")

    @property
    def installed(self) -> bool:
        """Whether it is here."""
        return find_spec(self.module) is not None

    @property
    def version(self) -> str:
        """Of the package."""
        return version(self.package)


ENTRIES: Mapping[str, Entry] = {
    "unnoise": Entry(
        "unnoise", "unnoise", Unnoise, "the default preset, planned for these pictures and these minutes"
    ),
    "lucidrains": Entry(
        "denoising-diffusion-pytorch",
        "denoising-diffusion-pytorch",
        Lucidrains,
        "`Unet(dim_mults=(1, 2, 4))` of the pictures' side, `GaussianDiffusion` and `Trainer` as they are, "
        f"but batches of {BATCH} (16 there) and a learning rate of {Lucidrains.learning_rate:g} (1e-4 there)",
    ),
    "diffusers": Entry(
        "diffusers",
        "diffusers",
        Diffusers,
        "`UNet2DModel` of widths 32, 64 and 128 with attention where pictures are smallest, trained as in "
        f"train_unconditional.py, but batches of {BATCH} (16 there) and a learning rate of "
        f"{Diffusers.learning_rate:g} (1e-4 there), whose cosine fits these minutes",
    ),
    "smalldiffusion": Entry(
        "smalldiffusion",
        "smalldiffusion",
        SmallDiffusion,
        "`Scaled(Unet)` and all else as in its Fashion-MNIST example, but batches of "
        f"{BATCH} (1,024 there, which would be a few steps), and nothing is mirrored",
    ),
}


def installed(names: Sequence[str]) -> list[str]:
    """Those that are here; says which are not."""
    for name in names:
        if not ENTRIES[name].installed:
            say(f"{ENTRIES[name].title} is not installed, and left out: make bench installs it.")
    return [name for name in names if ENTRIES[name].installed]
