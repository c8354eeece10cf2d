"""A second of real training tells how long the rest will take on this machine."""

import sys
import time
from collections.abc import Callable
from typing import NamedTuple

import torch

from unnoise.data import ImageSet
from unnoise.data.batches import Batches, split
from unnoise.diffusion.diffusion import Diffusion
from unnoise.runs.config import RunConfig

TRAINING_SHARE = 0.95
"""Of a run's time; the rest, at most, goes into saving, drawing samples and judging them."""

_WARM_UP_STEPS = 3
_WARM_UP_SECONDS = 1.0
_FEWEST_STEPS = 2


class Speed(NamedTuple):
    """How fast training is."""

    images_per_second: float
    batch_size: int
    steps: int
    """How many were measured."""
    memory: int | None
    """Bytes at the highest: of the device where it has its own, else of this whole process; None if unknown."""
    device: str

    @property
    def seconds_per_step(self) -> float:
        """Of the network's steps alone."""
        return self.batch_size / self.images_per_second

    def images_in(self, seconds: float) -> float:
        """How many images a run of this length sees."""
        return TRAINING_SHARE * seconds * self.images_per_second

    def seconds_for(self, images: float) -> float:
        """How long a run takes until it has seen so many images."""
        return images / (TRAINING_SHARE * self.images_per_second)


def measure_speed(
    config: RunConfig,
    images: ImageSet,
    device: torch.device | str,
    *,
    seconds: float = 1.0,
    clock: Callable[[], float] = time.perf_counter,
) -> Speed:
    """Trains the planned network on its own batches for a second, or two steps, and forgets it."""
    device = torch.device(device)
    diffusion = config.build(device)
    training = split(len(images), config.data.held_out, config.seed).training
    size = config.recipe.batch_size
    batches = Batches(images, training, size, config.seed, flip=config.data.flip)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    steps, took = timed(lambda number: _step(diffusion, batches, number), seconds, clock)
    return Speed(size * steps / took, size, steps, memory(device), str(device))


def timed(
    step: Callable[[int], object], seconds: float, clock: Callable[[], float] = time.perf_counter
) -> tuple[int, float]:
    """Takes steps, numbered from 0, for so long and at least two; returns how many, and the seconds they took.

    Those before, at most three, only warm up: the first ones plan and allocate.
    """
    begun, number = clock(), 0
    while number == 0 or (number < _WARM_UP_STEPS and clock() - begun < _WARM_UP_SECONDS):
        step(number)
        number += 1
    begun, first = clock(), number
    while number - first < _FEWEST_STEPS or clock() - begun < seconds:
        step(number)
        number += 1
    return number - first, max(clock() - begun, 1e-9)


def _step(diffusion: Diffusion, batches: Batches, number: int) -> float:
    result = diffusion.train_step(batches[number], batches.classes(number))
    return float(result.loss)  # which waits until the device is done


def memory(device: torch.device) -> int | None:
    """Bytes at the highest: of a GPU, or of this whole process; None where the system does not tell."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    try:
        import resource  # not on Windows
    except ImportError:
        return None
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else 1024 * most
