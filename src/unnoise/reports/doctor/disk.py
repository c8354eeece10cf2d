"""What a run will take of the disk follows from its network, before it is trained."""

from typing import NamedTuple

from torch import nn

from unnoise.data import ImageSet
from unnoise.networks import build
from unnoise.optim.muon import is_matrix
from unnoise.optim.optimizers import OptimizerConfig
from unnoise.runs.config import RunConfig
from unnoise.training.monitoring.sample_quality import FEWEST_HELD_OUT

_OF_A_NAME = 100
"""Bytes that safetensors takes to say a tensor's type, shape and place, beside its name."""
_STATES = 2


class Disk(NamedTuple):
    """In bytes."""

    weights: int
    """The averaged weights, and those with the best samples."""
    states: int
    """What --resume goes on from: the last two."""
    averages: int
    """What is stored on the way for `unnoise ema`."""
    cache: int
    """The decoded pictures, which all runs share."""

    @property
    def run(self) -> int:
        """All that lies in the run's folder, but for its small tables and pictures."""
        return self.weights + self.states + self.averages


def disk(config: RunConfig, images: ImageSet) -> Disk:
    """What a run of these pictures takes: see `Run.save`, `Monitor.look` and `Snapshots.write`."""
    network, ema = build(config.recipe.network), config.recipe.ema
    whole, profiles = _network(network), len(ema.profiles)
    judged = config.data.held_out >= FEWEST_HELD_OUT
    state = (2 + profiles) * whole + _optimizer(config.recipe.optimizer, network)
    kept = min(ema.snapshots, int(ema.megabytes * 1e6 / (profiles * whole))) if profiles else 0
    known = images.kept_moments
    cached = 0 if known is None else images.pixels.nbytes + known.nbytes
    return Disk((2 if judged else 1) * whole, _STATES * state, kept * profiles * whole, cached)


def _network(network: nn.Module) -> int:
    return sum(_tensor(name, value.nbytes) for name, value in network.state_dict().items())


def _optimizer(config: OptimizerConfig, network: nn.Module) -> int:
    """Adam keeps two numbers for each weight and counts its steps; Muon keeps one for what it takes."""
    total = 0
    for name, weight in network.named_parameters():
        if config.name == "muon" and is_matrix(weight):
            total += _tensor(name, weight.nbytes)
        else:
            moments = 1 if config.name == "rmsprop" else 2
            total += moments * _tensor(name, weight.nbytes) + _tensor(name, 4)
    return total


def _tensor(name: str, size: int) -> int:
    return size + len(name) + _OF_A_NAME
