"""Weights that a run starts from: those of another run, in init.safetensors, or those that were imported."""

from pathlib import Path

from unnoise.diffusion.diffusion import Diffusion
from unnoise.diffusion.walks import Walks
from unnoise.runs.checks import require_finite_weights
from unnoise.runs.config import RunConfig
from unnoise.runs.state_tensors import fill_network
from unnoise.utils.tensor_files import read_tensors

INIT = "init.safetensors"
_NEW = "step_length."
"""Weights that the other run may lack, and that start at zero."""


def load_initial_weights(run: Path, config: RunConfig, diffusion: Diffusion) -> None:
    """Loads the weights that a run starts from, if any, into the network and its averages."""
    if config.init is None and config.imported is None:
        return
    path = run / ("model.safetensors" if config.init is None else INIT)
    tensors, _ = read_tensors(path)
    require_finite_weights(tensors, path)
    average, profiles = diffusion.weights.average, diffusion.weights.profiles
    for network in (average.source, average.network, *profiles.networks):
        fill_network(network, tensors, path, new=_NEW)


def let_walk(run: Path, config: RunConfig, diffusion: Diffusion) -> None:
    """Lets the run that this one started from walk, where this one learns from its walks."""
    learned = config.recipe.mean_velocity
    if learned is None or learned.walking is None:
        return
    config.require_leader()
    leader, (tensors, _) = config.denoiser(diffusion.denoiser.device), read_tensors(run / INIT)
    fill_network(leader.network, tensors, run / INIT, new=_NEW)
    diffusion.walks = Walks(leader, learned, config.seed)
