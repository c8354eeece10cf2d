"""Training speed on this machine, measured by a second of training."""

import sys
import time
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch

from unnoise.data import ImageSet
from unnoise.data.batches import Batches
from unnoise.diffusion.diffusion import Diffusion
from unnoise.runs.config import RunConfig
from unnoise.trainer.accumulation import Accumulation
from unnoise.utils.precision import set_tf32

TRAINING_SHARE = 0.95
"""Share of a run's time that training takes; at most the rest goes into saving, sampling and evaluating."""

_WARM_UP_STEPS = 3
_WARM_UP_SECONDS = 1.0
_FEWEST_STEPS = 2


class Speed(NamedTuple):
    """Measured speed and memory of training."""

    images_per_second: float
    batch_size: int
    steps: int
    """How many steps were measured."""
    memory: int | None
    """Peak bytes: of each GPU, or else of each whole process; None if unknown."""
    device: str
    devices: int = 1
    """How many of them train together."""

    def images_in(self, seconds: float) -> float:
        """How many images a run of so many seconds trains on."""
        return TRAINING_SHARE * seconds * self.images_per_second

    def seconds_for(self, images: float) -> float:
        """How many seconds a run takes to train on so many images."""
        return images / (TRAINING_SHARE * self.images_per_second)


def measure_speed(
    config: RunConfig,
    images: ImageSet,
    device: torch.device | str,
    devices: int = 1,
    *,
    seconds: float = 1.0,
    clock: Callable[[], float] = time.perf_counter,
) -> Speed:
    """Trains the planned network for a second, or two steps, and discards it.

    Of several devices one is measured, with its part of each batch; what they tell each other is left out.

    Raises:
        UnnoiseError: if the devices cannot share a batch evenly.
    """
    device = torch.device(device)
    diffusion = config.build(device)
    training = config.split(images).training
    size = config.recipe.batch_size
    batches = Batches(images, training, size, config.seed, flip=config.data.flip, processes=devices)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    set_tf32(device, config.precision)
    accumulation = Accumulation(config.accumulate, device)
    steps, took = time_steps(lambda number: _step(diffusion, batches, number, accumulation), seconds, clock)
    return Speed(size * steps / took, size, steps, peak_memory(device), str(device), devices)


def time_steps(
    step: Callable[[int], object], seconds: float, clock: Callable[[], float] = time.perf_counter
) -> tuple[int, float]:
    """Times steps, numbered from 0, for `seconds` and at least two steps; returns their number and seconds.

    Up to three steps before them are not counted: the first ones plan and allocate.
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


def _step(diffusion: Diffusion, batches: Batches, number: int, accumulation: Accumulation) -> float:
    train_step = partial(diffusion.train_step, batches[number], batches.classes(number), part=batches.part)
    result = accumulation.fit(batches.batch_size, lambda pieces: train_step(accumulate=pieces))
    return float(result.loss)  # waits until the device is done


def peak_memory(device: torch.device) -> int | None:
    """Peak bytes of a GPU, or of this whole process; None if the system does not tell."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    try:
        import resource  # not on Windows
    except ImportError:
        return None
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else 1024 * most
