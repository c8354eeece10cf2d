"""Folders that are no pipeline of pixels, and runs that no pipeline draws: rows of docs/reliability.md."""

import shutil
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import load_file

from helpers.pipelines import edit, saved
from helpers.reliability import Place, refused

GROUP = "Export to and import from diffusers"


def imported(title, spoil: Callable[[Path], object]):
    """A pipeline that `spoil` has changed."""

    def prepare(_: Place):
        spoil(saved(Path("pipeline")))
        return ["import", "pipeline", "--out", "new"]

    return refused(GROUP, title, prepare)


def changed(title, file: str, **values):
    """A pipeline with other values in one of its files."""
    return imported(title, lambda folder: edit(folder / file, **values))


def pickled(folder: Path) -> None:
    weights = folder / "unet" / "diffusion_pytorch_model.safetensors"
    torch.save(load_file(weights), weights.with_suffix(".bin"))
    weights.unlink()


def exported(title, *arguments):
    """A run of our own network."""

    def prepare(place: Place):
        place.run()
        return ["export", "run", *arguments]

    return refused(GROUP, title, prepare)


UNET, SCHEDULER = "unet/config.json", "scheduler/scheduler_config.json"
CASES = [
    imported("a folder that is no pipeline", lambda folder: (folder / "model_index.json").unlink()),
    changed("a pipeline of latents", "model_index.json", vqvae=["diffusers", "VQModel"]),
    changed("another pipeline", "model_index.json", _class_name="KarrasVePipeline"),
    imported("a pipeline without a scheduler", lambda folder: shutil.rmtree(folder / "scheduler")),
    imported("a pipeline without a network", lambda folder: shutil.rmtree(folder / "unet")),
    imported("weights in a pickle", pickled),
    changed("an unknown network", UNET, _class_name="UNet1DModel"),
    changed("an unknown option of the network", UNET, colour="mauve"),
    changed("classes by another embedding", UNET, class_embed_type="timestep"),
    changed("a network that no memory holds", UNET, block_out_channels=[32000, 64000, 64000]),
    changed("an unknown scheduler", SCHEDULER, _class_name="PNDMScheduler"),
    changed("an unknown option of the scheduler", SCHEDULER, colour="mauve"),
    changed("an unknown prediction", SCHEDULER, prediction_type="flow_prediction"),
    exported("a network that diffusers lacks", "--to", "diffusers", "--out", "new"),
    exported("an unknown target of export", "--to", "abacus", "--out", "new"),
]
