"""Disk use of a run, computed from its network before training."""

from typing import NamedTuple

from torch import nn

from unnoise.data import ImageSet
from unnoise.networks import build
from unnoise.optim.muon import is_matrix
from unnoise.optim.optimizers import OptimizerConfig
from unnoise.runs.config import RunConfig
from unnoise.training.monitoring.sample_quality import MIN_HELD_OUT

_OF_A_NAME = 100
"""Bytes in the header of safetensors for a tensor's type, shape and offset, beside its name."""
_STATES = 3
"""See `retention.kept_states`."""


class DiskUse(NamedTuple):
    """Bytes that a run writes, by kind."""

    weights: int
    """The averaged weights, and a copy of those with the best samples."""
    states: int
    """The last two states to resume from and the pinned one, each with the best weights until then."""
    averages: int
    """Averages that are stored during training for `unnoise ema`."""
    cache: int
    """The decoded pictures, which all runs share."""

    @property
    def run(self) -> int:
        """Bytes of the run's folder, without its small tables and pictures."""
        return self.weights + self.states + self.averages


def disk_use(config: RunConfig, images: ImageSet) -> DiskUse:
    """Disk use of a run on these pictures.

    It follows what `Run.save` and `Snapshots.write` write; weights with the best samples are kept as well where
    enough pictures are held out to judge samples.
    """
    network, ema = build(config.recipe.network), config.recipe.ema
    weights, profiles = _weight_bytes(network), len(ema.profiles)
    judged = config.data.held_out >= MIN_HELD_OUT
    state = (2 + profiles + judged) * weights + _optimizer_bytes(config.recipe.optimizer, network)
    kept = min(ema.snapshots, int(ema.megabytes * 1e6 / (profiles * weights))) if profiles else 0
    known = images.kept_moments
    cached = 0 if known is None else images.pixels.nbytes + known.nbytes
    return DiskUse((2 if judged else 1) * weights, _STATES * state, kept * profiles * weights, cached)


def _weight_bytes(network: nn.Module) -> int:
    return sum(_tensor_bytes(name, value.nbytes) for name, value in network.state_dict().items())


def _optimizer_bytes(config: OptimizerConfig, network: nn.Module) -> int:
    """Adam keeps two numbers for each weight and a step count; Muon one for each weight of its matrices."""
    total = 0
    for name, weight in network.named_parameters():
        if config.name == "muon" and is_matrix(weight):
            total += _tensor_bytes(name, weight.nbytes)
        else:
            moments = 1 if config.name == "rmsprop" else 2
            total += moments * _tensor_bytes(name, weight.nbytes) + _tensor_bytes(name, 4)
    return total


def _tensor_bytes(name: str, size: int) -> int:
    return size + len(name) + _OF_A_NAME
