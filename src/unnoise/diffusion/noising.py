"""Training corrupts pictures on purpose: noise of a random level, and now and then a hidden class."""

from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import torch

from unnoise.diffusion.conditioning import Abilities
from unnoise.diffusion.noise_levels import NoiseLevels, UniformTimes
from unnoise.diffusion.processes import Part
from unnoise.diffusion.schedules import Schedule
from unnoise.diffusion.tensors import Classes, Images, PerImage, Rates
from unnoise.utils.errors import require


class Corrupted(NamedTuple):
    """Normalised images, and everything that `Denoiser.losses` takes besides."""

    images: Images
    noises: Images
    noise_rates: Rates
    signal_rates: Rates
    classes: Classes | None
    self_condition: bool
    times: Rates | None = None
    """Where they were drawn by importance: then each loss counts by its weight."""
    weights: PerImage | None = None

    def split(self, count: int) -> list["Corrupted"]:
        """The same in at most so many pieces of about equal size."""
        whole = len(self.images)
        borders = [whole * piece // count for piece in range(count + 1)]
        return [self._piece(slice(*border)) for border in pairwise(borders) if border[0] < border[1]]

    def _piece(self, some: slice) -> "Corrupted":
        def cut(values: torch.Tensor | None) -> torch.Tensor | None:
            return None if values is None else values[some]

        return Corrupted(
            self.images[some],
            self.noises[some],
            self.noise_rates[some],
            self.signal_rates[some],
            cut(self.classes),
            self.self_condition,
            cut(self.times),
            cut(self.weights),
        )


@dataclass(frozen=True, kw_only=True)
class Corruption:
    """What is random in a training step.

    Args:
        noise_levels: how the noise levels are spread.
        offset_noise: adds so much noise that is the same all over a channel, so that pictures may become darker
            or lighter than the average (0 for none, 0.1 for some; crosslabs.org, 2023).
        class_dropout: how often the class is hidden, so that the network learns to do without (2207.12598).

    Raises:
        UnnoiseError: for values outside their range.
    """

    noise_levels: NoiseLevels = UniformTimes()
    offset_noise: float = 0.0
    class_dropout: float = 0.1

    def __post_init__(self) -> None:
        require(
            0 <= self.class_dropout <= 1, f"class_dropout goes from 0 to 1, but got {self.class_dropout:g}."
        )
        require(self.offset_noise >= 0, f"offset_noise is at least 0, but got {self.offset_noise:g}.")

    def draw(
        self,
        images: Images,
        classes: Classes | None,
        schedule: Schedule,
        abilities: Abilities,
        generator: torch.Generator,
        *,
        training: bool,
        part: Part | None = None,
    ) -> Corrupted:
        """The random numbers of a step for normalised images (B, C, H, W); on the images' device.

        When testing, no class is hidden, and a network that can look twice always does. Where the images are
        part of a batch that several share, each draws the numbers of all of it and keeps its own: so the batch
        is the same, however many share it.
        """
        where = generator.device
        part = part or Part(0, len(images))
        whole, mine = part.whole, part.places(len(images))
        rates = self.noise_levels.draw(whole, schedule, generator)
        noises = torch.randn((whole, *images.shape[1:]), generator=generator, device=where)[mine]
        if self.offset_noise:
            shared = torch.randn(whole, images.shape[1], 1, 1, generator=generator, device=where)[mine]
            noises = noises + self.offset_noise * shared
        noise_rates, signal_rates = (rate[mine].to(images.device) for rate in rates)
        told = classes if abilities.num_classes else None
        if told is not None:
            told = told.to(images.device)
            if training:
                hidden = torch.rand(whole, generator=generator, device=where)[mine] < self.class_dropout
                told = told.masked_fill(hidden.to(images.device), abilities.num_classes)
        twice = abilities.self_conditioning and (
            not training or bool(torch.rand((), generator=generator, device=where) < 0.5)
        )
        return Corrupted(images, noises.to(images.device), noise_rates, signal_rates, told, twice)
