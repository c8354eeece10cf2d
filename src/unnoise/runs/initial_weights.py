"""Weights that a run starts from: those of another run, in init.safetensors, or those that were imported.

A distilled run also keeps the weaker average that the walks of the other run are guided away from, in
weaker.safetensors, so that it goes on without that run.
"""

from dataclasses import replace
from pathlib import Path

import torch

from unnoise.diffusion.autoguidance import guided_by
from unnoise.diffusion.denoiser import Denoiser
from unnoise.diffusion.diffusion import Diffusion
from unnoise.diffusion.guidance import Guidance
from unnoise.diffusion.walks import Walks
from unnoise.networks import OwnConfig
from unnoise.runs.checks import require_finite_weights
from unnoise.runs.config import RunConfig
from unnoise.runs.snapshots import Snapshots
from unnoise.runs.state_tensors import fill_network
from unnoise.utils.tensor_files import read_facts, read_tensors, write_tensors

INIT, WEAKER = "init.safetensors", "weaker.safetensors"
_NEW = "step_length."
"""Weights that the other run may lack, and that start at zero."""


def keep_initial_weights(run: Path, config: RunConfig, init: Denoiser, folder: Path) -> None:
    """Writes the weights that a run starts from, those of the run in this folder, into its own."""
    weights, averages = folder / "model.safetensors", Snapshots(folder / "ema")
    told = {"run": str(config.init), "step": read_facts(weights).get("step", "")}
    write_tensors(run / INIT, init.network.state_dict(), told)
    weaker = averages.weaker(weights) if config.autoguided else None
    if weaker is not None:
        write_tensors(run / WEAKER, read_tensors(averages.path(weaker))[0], {**told, "step": str(weaker.step)})


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
    # The run that walks is told no length of a step, so that it draws as it did.
    network = config.recipe.network
    assert isinstance(network, OwnConfig)
    walker = replace(network, step_length=False)
    config = replace(config, recipe=replace(config.recipe, network=walker, mean_velocity=None))
    leader, scale = _with_weights(config, run / INIT, diffusion.denoiser.device), learned.walking.autoguidance
    if scale != 1:
        weaker = _with_weights(config, run / WEAKER, diffusion.denoiser.device)
        leader = guided_by(leader, weaker, Guidance(scale=scale))
    diffusion.walks = Walks(leader, learned, config.seed)


def _with_weights(config: RunConfig, path: Path, device: torch.device) -> Denoiser:
    denoiser, (tensors, _) = config.denoiser(device), read_tensors(path)
    fill_network(denoiser.network, tensors, path, new=_NEW)
    return denoiser
