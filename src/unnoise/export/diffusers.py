"""Export of a run as a pipeline of diffusers: model_index.json, the network, and the scheduler."""

import json
import math
from pathlib import Path
from typing import NamedTuple

from safetensors.torch import save_file
from torch import Tensor

from unnoise.diffusion.normalizer import Normalizer
from unnoise.diffusion.schedules import DiscreteSchedule
from unnoise.export.diffusers_schedulers import PREDICTIONS, to_scheduler
from unnoise.networks import UNet2DConfig
from unnoise.runs.checkpoint import Run
from unnoise.runs.config import RunConfig
from unnoise.utils.errors import require
from unnoise.utils.files import atomic_folder, atomic_write, require_new_folder

WEIGHTS = "diffusion_pytorch_model.safetensors"
_PRESET = "Train one that is with --preset diffusers."
_LIBRARY = "0.35.0"
"""The diffusers whose names and options are written."""


class DiffusersExport(NamedTuple):
    """What was exported.

    Args:
        path: the folder.
        pipeline: the name of its class.
        num_steps: steps with which it draws as the run does.
        notes: what it draws otherwise.
    """

    path: Path
    pipeline: str
    num_steps: int
    notes: tuple[str, ...]


def check_diffusers(run: Run, out: Path) -> None:
    """Checks that a run is one that diffusers can draw with, and that the folder can be made.

    Raises:
        UnnoiseError: the network, its condition, prediction, normalisation or size has no counterpart in
            `UNet2DModel` and its pipelines; the message names the preset that has. Also for a folder that is
            not empty, or cannot be written.
    """
    require_new_folder(out)
    config, recipe = run.config, run.config.recipe
    network = recipe.network
    kind = type(network).__name__.removesuffix("Config")
    require(
        isinstance(network, UNet2DConfig),
        f"The network of {run.path}, {kind} of the preset {config.preset}, is no UNet2DModel of diffusers. "
        f"{_PRESET}",
    )
    assert isinstance(network, UNet2DConfig)
    schedule = type(recipe.schedule).__name__
    for fits, what in (
        (isinstance(recipe.schedule, DiscreteSchedule), f"its schedule is {schedule}, which has no timesteps"),
        (recipe.condition == "timestep", f"its network is told the {recipe.condition} instead of the timestep"),
        (recipe.objective.predicts in PREDICTIONS.values(), f"it predicts the {recipe.objective.predicts}"),
        (_is_symmetric(config.normalizer), "its pictures are not normalised to [-1, 1]"),
    ):
        require(fits, f"No pipeline of diffusers draws as {run.path} does: {what}. {_PRESET}")
    require(
        recipe.sampling.variance != "learned",
        f"{run.path} draws with a learned variance, which a UNet2DModel lacks. {_PRESET}",
    )
    _check_sides(run, network)


def _check_sides(run: Run, network: UNet2DConfig) -> None:
    data = run.config.data
    multiple = 2 ** (len(network.widths) - 1)
    require(
        data.height % multiple == data.width % multiple == 0,
        f"A UNet2DModel of {len(network.widths)} levels draws sides that are multiples of {multiple}, "
        f"but the pictures of {run.path} are {data.height} x {data.width}. Train with --size "
        f"{math.ceil(data.height / multiple) * multiple}x{math.ceil(data.width / multiple) * multiple}.",
    )


def export_diffusers(run: Run, out: Path) -> DiffusersExport:
    """Writes the averaged network of a run as a `DDPMPipeline` or `DDIMPipeline`, whole or not at all.

    Raises:
        UnnoiseError: as for `check_diffusers`, or a run without weights.
    """
    check_diffusers(run, out)
    weights = run.averaged().network.state_dict()
    with atomic_folder(out) as folder:
        made = _write(run.config, weights, folder)
    return made._replace(path=out)


def _write(config: RunConfig, weights: dict[str, Tensor], folder: Path) -> DiffusersExport:
    recipe, data, network = config.recipe, config.data, config.recipe.network
    assert isinstance(network, UNet2DConfig)
    assert isinstance(config.schedule, DiscreteSchedule)
    scheduler = to_scheduler(config.schedule, recipe.objective.predicts, recipe.sampling)
    kind = scheduler["_class_name"]
    pipeline = kind.replace("Scheduler", "Pipeline")
    model = {"_class_name": "UNet2DModel", **network.to_diffusers(data.height, data.width)}
    index = {
        "_class_name": pipeline,
        "scheduler": ["diffusers", kind],
        "unet": ["diffusers", "UNet2DModel"],
    }
    _write_json(folder / "model_index.json", index)
    _write_json(folder / "scheduler" / "scheduler_config.json", scheduler)
    _write_json(folder / "unet" / "config.json", model)
    whole = {name: tensor.cpu().contiguous() for name, tensor in weights.items()}
    with atomic_write(folder / "unet" / WEIGHTS) as file:
        file.touch()
        mode = file.stat().st_mode
        save_file(whole, file, metadata={"format": "pt"})
        file.chmod(mode)  # safetensors makes files that only their owner may read
    return DiffusersExport(folder, pipeline, recipe.sampling.num_steps, tuple(_notes(config)))


def _write_json(path: Path, values: dict[str, object]) -> None:
    with atomic_write(path) as file:
        named = {"_class_name": values["_class_name"], "_diffusers_version": _LIBRARY, **values}
        file.write_text(json.dumps(named, indent=2) + "\n", encoding="utf-8")


def _notes(config: RunConfig) -> list[str]:
    """What the pipeline draws otherwise than the run."""
    sampling, schedule, notes = config.recipe.sampling, config.schedule, []
    assert isinstance(schedule, DiscreteSchedule)
    if sampling.sampler not in ("ddim", "ancestral"):
        notes.append(f"The run draws by {sampling.sampler}, the pipeline by DDIM.")
    elif sampling.sampler == "ddim" and sampling.eta:
        notes.append(f"The pipeline draws as the run does with eta={sampling.eta:g}, given to its call.")
    if sampling.spacing in ("log_snr", "karras"):
        notes.append(
            f"The timesteps of the run are spaced by {sampling.spacing}, those of the pipeline evenly."
        )
    elif sampling.sampler != "ancestral" and (
        sampling.spacing == "linspace" or schedule.num_timesteps % sampling.num_steps
    ):
        notes.append(
            f"DDIM of diffusers goes on by {schedule.num_timesteps} // steps timesteps, not quite those of the "
            f"run here: take a number of steps that divides {schedule.num_timesteps}."
        )
    few = sampling.num_steps < schedule.num_timesteps
    if (
        sampling.sampler == "ancestral"
        and sampling.variance == "large"
        and sampling.spacing != "leading"
        and few
    ):
        notes.append(
            "With the large variance, DDPM of diffusers adds noise also in its last step, unless it takes all "
            f"timesteps or leading ones: take all {schedule.num_timesteps} steps there."
        )
    if sampling.clip == "dynamic" or (sampling.clip == "static" and sampling.sampler != "ancestral"):
        notes.append(
            f"The run clips predicted pictures by {sampling.clip}, the pipeline by images: cut off, with the "
            "noises as they were predicted."
        )
    if sampling.polish:
        notes.append(
            f"The run takes grain away by a last call (polish {sampling.polish:g}), the pipeline does not."
        )
    return notes


def _is_symmetric(normalizer: Normalizer) -> bool:
    return set(normalizer.mean) == set(normalizer.std) == {0.5}
