"""Import of a pixel pipeline of diffusers (`DDPMPipeline`, `DDIMPipeline`) as a run."""

import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from unnoise.diffusion.normalizer import Normalizer
from unnoise.diffusion.objectives import Objective
from unnoise.export.diffusers_schedulers import SchedulerChoice, from_scheduler
from unnoise.networks import UNet2DConfig
from unnoise.runs.checkpoint import Run
from unnoise.runs.checks import require_finite_weights
from unnoise.runs.config import RunConfig
from unnoise.runs.conversion import plain, structured
from unnoise.runs.data_config import DataConfig
from unnoise.runs.presets import recipe
from unnoise.runs.recipe import Recipe
from unnoise.runs.state_tensors import fill_network
from unnoise.utils import json_text
from unnoise.utils.errors import UnnoiseError, require, require_permitted
from unnoise.utils.files import check_writable
from unnoise.utils.pickles import PICKLES_REFUSED, require_no_pickle
from unnoise.utils.tensor_files import write_tensors

Value = TypeVar("Value")

_PIPELINES = ("DDPMPipeline", "DDIMPipeline")
_COPY = "Copy the folder again."
_WEIGHTS = "diffusion_pytorch_model"
_MOST_CHANNELS = 4

_RENAMED = (
    (r"^mid\.", "mid_block."),
    (r"^downsample_blocks\.", "down_blocks."),
    (r"^upsample_blocks\.", "up_blocks."),
    (r"(attentions\.\d+)\.query\.", r"\1.to_q."),
    (r"(attentions\.\d+)\.key\.", r"\1.to_k."),
    (r"(attentions\.\d+)\.value\.", r"\1.to_v."),
    (r"(attentions\.\d+)\.proj_attn\.", r"\1.to_out.0."),
)
"""Names of weights in older versions of diffusers, and those of today."""


@dataclass(frozen=True)
class Pipeline:
    """A pipeline of diffusers that can become a run.

    Args:
        config: of the run.
        weights: of its network, in float32.
        notes: what the run draws otherwise.
    """

    config: RunConfig
    weights: dict[str, Tensor]
    notes: tuple[str, ...]


def read_pipeline(folder: Path, size: tuple[int, int] | None = None) -> Pipeline:
    """Reads a folder that `save_pretrained` of a pipeline wrote, or one with all its files side by side.

    Args:
        folder: with the model_index.json.
        size: (height, width) of the pictures, where the network's config does not say it.

    Raises:
        UnnoiseError: no pipeline, one of latents or of another class; a network, scheduler or option that has
            no counterpart; missing or damaged files; weights in a pickle.
    """
    pipeline = _pipeline_class(folder)
    unet, scheduler = (
        _component(folder, name, file)
        for name, file in (("unet", "config.json"), ("scheduler", "scheduler_config.json"))
    )
    options = json_text.read(unet, _COPY)
    network = _checked(unet, lambda: _network(options))
    chosen = _checked(
        scheduler,
        lambda: from_scheduler(
            json_text.read(scheduler, _COPY), str(scheduler), ddim=pipeline == "DDIMPipeline"
        ),
    )
    config = _config(folder, network, chosen, size or _checked(unet, lambda: _size(options)))
    weights = _weights(unet.parent)
    fill_network(config.denoiser().network, weights, unet.parent / f"{_WEIGHTS}.safetensors")
    return Pipeline(config, weights, chosen.notes)


def _config(folder: Path, network: UNet2DConfig, chosen: SchedulerChoice, size: tuple[int, int]) -> RunConfig:
    """The configuration of the run: in training that of the preset `diffusers`."""
    (height, width), channels = size, network.channels
    changed = replace(
        recipe("diffusers", channels, height, width),
        network=network,
        schedule=chosen.schedule,
        objective=Objective(chosen.predicts, chosen.predicts, "l2"),
        sampling=chosen.sampling,
    )
    return RunConfig(
        preset="diffusers",
        data=DataConfig(source="", height=height, width=width, channels=channels),
        normalizer=Normalizer.symmetric(channels),
        recipe=structured(plain(changed), Recipe, str(folder)),
        imported=str(folder.resolve()),
    )


def import_pipeline(pipeline: Pipeline, path: Path) -> Run:
    """Writes a pipeline as a new run, whole or not at all: its weights are model.safetensors.

    Raises:
        UnnoiseError: the folder holds a run already, or cannot be written.
    """
    Run.refuse_existing(path)
    check_writable(path / "config.json")
    existed = path.exists()
    try:
        # The weights first: a folder with a config.json is a run.
        write_tensors(path / "model.safetensors", pipeline.weights, {"step": "0"})
        return Run(path, pipeline.config).with_config(pipeline.config)
    except BaseException:
        (path / "model.safetensors").unlink(missing_ok=True)
        if not existed:
            shutil.rmtree(path, ignore_errors=True)
        raise


def _pipeline_class(folder: Path) -> str:
    """The class of the pipeline, if its parts are a network of pixels and a scheduler."""
    file = folder / "model_index.json"
    require(
        file.is_file(),
        f"{folder} is no pipeline of diffusers (it has no model_index.json). Give the folder that a pipeline's "
        "save_pretrained wrote.",
    )
    require_no_pickle(file)
    index = json_text.read(file, _COPY)
    parts = {name: part for name, part in index.items() if name[:1] != "_" and isinstance(part, list)}
    latent = sorted(name for name in parts if re.search(r"vae|vqvae|text|token|bert|image_encoder|prior", name))
    require(
        not latent,
        f"{folder} is a pipeline of latents ({', '.join(latent)}), and unnoise draws pixels. Give a "
        "DDPMPipeline or DDIMPipeline.",
    )
    kind = str(index.get("_class_name"))
    require(
        kind in _PIPELINES,
        f"{folder} is a {kind} of diffusers, but those that can be read are {' and '.join(_PIPELINES)}.",
    )
    others = sorted(parts.keys() - {"unet", "scheduler"})
    require(not others, f"{folder} has parts that no {kind} has: {', '.join(others)}. {_COPY}")
    return kind


def _component(folder: Path, name: str, config: str) -> Path:
    """The config file of a part: in a folder of its name, or, in older pipelines, beside model_index.json."""
    places = [folder / name / config, folder / config]
    for file in places:
        if file.is_file():
            require_no_pickle(file)
            return file
    what = {"unet": "network", "scheduler": "scheduler"}[name]
    raise UnnoiseError(f"The pipeline in {folder} has no {what} ({places[0]} is missing). {_COPY}")


def _checked(file: Path, read: Callable[[], Value]) -> Value:
    """What `read` returns; a value of a wrong type in the file is a sentence."""
    try:
        return read()
    except UnnoiseError as error:
        raise UnnoiseError(str(error) if str(file) in str(error) else f"{file}: {error}") from None
    except (TypeError, ValueError, ArithmeticError, AttributeError) as error:
        raise UnnoiseError(f"{file} has a value of a wrong type ({error}). {_COPY}") from None


def _network(options: Mapping[str, Any]) -> UNet2DConfig:
    older = {"UNetUnconditionalModel": "UNet2DModel"}
    kind = str(options.get("_class_name", "UNet2DModel"))
    config = UNet2DConfig.from_diffusers({**options, "_class_name": older.get(kind, kind)})
    require(
        config.channels <= _MOST_CHANNELS,
        f"Pictures have 1 to {_MOST_CHANNELS} channels, but this network draws {config.channels}.",
    )
    return structured(plain(config), UNet2DConfig, "The network")


def _size(options: Mapping[str, Any]) -> tuple[int, int]:
    found = options.get("sample_size", options.get("image_size"))
    height, width = found if isinstance(found, list) and len(found) == 2 else (found, found)
    require(
        found is not None, "The config of the network does not say the size of its pictures: give it by --size."
    )
    require(
        type(height) is int and type(width) is int,
        f"sample_size is a number of pixels or a pair of them, but got {found!r}.",
    )
    return height, width


def _weights(folder: Path) -> dict[str, Tensor]:
    """The weights in a folder, in float32 and under today's names: of one file, or of several parts."""
    single = folder / f"{_WEIGHTS}.safetensors"
    parts = sorted(folder.glob(f"{_WEIGHTS}-*-of-*.safetensors"))
    files = [single] if single.is_file() else parts or sorted(folder.glob(f"{_WEIGHTS}.*.safetensors"))[:1]
    pickles = sorted(file.name for file in folder.glob("*.bin"))
    require(
        bool(files) or not pickles,
        f"{folder} has its weights in {', '.join(pickles)}, a pickle, and {PICKLES_REFUSED}. If you trust it, "
        "load it with diffusers, and save it with save_pretrained(NEW, safe_serialization=True).",
    )
    require(bool(files), f"{folder} has no weights ({single.name} is missing). {_COPY}")
    found: dict[str, Tensor] = {}
    for file in files:
        require_no_pickle(file)
        try:
            found |= load_file(file)
        except (SafetensorError, OSError, ValueError, RuntimeError) as error:
            require_permitted(file, error)
            raise UnnoiseError(f"{file} is damaged ({error}). {_COPY}") from None
    weights = {_today(name): _as_today(name, tensor.float()) for name, tensor in found.items()}
    require_finite_weights(weights, files[0])
    return weights


def _today(name: str) -> str:
    for older, newer in _RENAMED:
        name = re.sub(older, newer, name)
    return name


def _as_today(name: str, tensor: Tensor) -> Tensor:
    """Weights of attention that were 1x1 convolutions as those of dense layers."""
    return tensor.flatten(1) if ".attentions." in name and tensor.ndim == 4 else tensor
