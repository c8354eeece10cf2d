"""Noising: every random choice of a training step but dropout.

For each image of a batch: its noise level, its noises, and whether its class is hidden (classifier-free
guidance, 2207.12598); for the whole batch, whether a self-conditioned network predicts twice.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import torch

from unnoise.diffusion.conditioning import Abilities
from unnoise.diffusion.mean_velocity import MeanVelocity
from unnoise.diffusion.noise_levels import NoiseLevels
from unnoise.diffusion.schedules import Schedule
from unnoise.diffusion.seeds import host_coin
from unnoise.diffusion.tensors import Classes, Images, PerImage, Rates, moved
from unnoise.optim.process_group import BatchPart
from unnoise.utils.errors import require


class NoisedBatch(NamedTuple):
    """Normalised images, (B, C, H, W), and what they are to be mixed with."""

    images: Images
    noises: Images
    noise_rates: Rates
    signal_rates: Rates
    classes: Classes | None
    self_condition: bool
    times: Rates | None = None
    """The diffusion times, where they were drawn by importance: then each loss has a weight."""
    weights: PerImage | None = None
    lengths: Rates | None = None
    """Angles of the steps from each noise level, where the mean velocity is learned; see `mean_velocity`."""

    def split(self, count: int) -> list["NoisedBatch"]:
        """The batch in at most `count` pieces of about equal size, for gradient accumulation."""
        size = len(self.images)
        borders = [size * piece // count for piece in range(count + 1)]
        return [self._piece(slice(*border)) for border in pairwise(borders) if border[0] < border[1]]

    def _piece(self, some: slice) -> "NoisedBatch":
        tensors: dict[str, Any] = {
            name: value[some] for name, value in self._asdict().items() if isinstance(value, torch.Tensor)
        }
        return self._replace(**tensors)


@dataclass(frozen=True)
class Noising:
    """How images are noised in training.

    Args:
        offset_noise: strength of additional noise that is constant over a channel, so that samples can become
            darker or lighter than the average (0 for none; 0.1 is usual; crosslabs.org, 2023).
        class_dropout: probability that a class is hidden (2207.12598).
        mean_velocity: draws the lengths of steps, where their mean velocity is learned.

    Raises:
        UnnoiseError: for values outside their range.
    """

    offset_noise: float = 0.0
    class_dropout: float = 0.1
    mean_velocity: MeanVelocity | None = None

    def __post_init__(self) -> None:
        require(
            0 <= self.class_dropout <= 1,
            f"class_dropout is a probability from 0 to 1, but got {self.class_dropout:g}.",
        )
        require(self.offset_noise >= 0, f"offset_noise is at least 0, but got {self.offset_noise:g}.")

    def draw(
        self,
        images: Images,
        classes: Classes | None,
        levels: NoiseLevels,
        schedule: Schedule,
        abilities: Abilities,
        generator: torch.Generator,
        *,
        training: bool,
        part: BatchPart | None = None,
    ) -> NoisedBatch:
        """Draws the random numbers of a step for normalised images (B, C, H, W), on the images' device.

        When testing, no class is hidden, and a self-conditioned network always predicts twice. Where several
        processes share a batch, each draws the numbers of all of it and keeps those of its own `part`, so the
        batch does not depend on the number of processes.
        """
        where = generator.device
        whole = part.whole if part else len(images)
        mine = part.places(len(images)) if part else slice(None)
        noise_rates, signal_rates, times, weights = levels.draw(whole, schedule, generator)
        noises = torch.randn((whole, *images.shape[1:]), generator=generator, device=where)[mine]
        if self.offset_noise:
            shared = torch.randn(whole, images.shape[1], 1, 1, generator=generator, device=where)[mine]
            noises = noises + self.offset_noise * shared
        told = classes if abilities.num_classes else None
        if told is not None:
            told = moved(told, images.device)
            if training:
                hidden = torch.rand(whole, generator=generator, device=where)[mine] < self.class_dropout
                told = told.masked_fill(hidden.to(images.device), abilities.num_classes)
        steps = self.mean_velocity
        lengths = None if steps is None else steps.lengths(noise_rates, signal_rates, generator)[mine]
        twice = abilities.self_conditioning and (not training or host_coin(generator))
        return NoisedBatch(
            images,
            noises.to(images.device),
            noise_rates[mine].to(images.device),
            signal_rates[mine].to(images.device),
            told,
            twice,
            None if times is None else times[mine],
            None if weights is None else weights[mine].to(images.device),
            lengths if lengths is None else lengths.to(images.device),
        )
