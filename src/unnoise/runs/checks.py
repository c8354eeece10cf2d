"""Checks of a run's files before they are used: the folder is a run, no pickles, finite weights."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from unnoise.utils.errors import UnnoiseError, require
from unnoise.utils.pickles import PICKLE_SUFFIXES, PICKLES_REFUSED, pickle_kind, require_no_pickle

_A_RUN = "A run is the folder that `unnoise train` writes, with JSON and safetensors files in it."


def require_run(path: Path) -> Path:
    """The config.json of the run in this folder.

    Raises:
        UnnoiseError: `path` does not exist, is a file, or is a folder without a run.
    """
    config = path / "config.json"
    if path.is_file():
        kind = pickle_kind(path) or (
            f"a {path.suffix} file" if path.suffix.lower() in PICKLE_SUFFIXES else None
        )
        if kind is not None:
            raise UnnoiseError(f"{path} is {kind}, and {PICKLES_REFUSED}. {_A_RUN}")
        inside = (path.parent / "config.json").is_file()
        remedy = f" Give its folder {path.parent}." if inside else ""
        raise UnnoiseError(f"{path} is a file, not a run.{remedy} {_A_RUN}")
    if path.is_dir() and not config.exists():
        pickles = sorted(one.name for one in path.iterdir() if one.suffix.lower() in PICKLE_SUFFIXES)
        if pickles:
            raise UnnoiseError(f"{path} has no config.json but {pickles[0]}, and {PICKLES_REFUSED}. {_A_RUN}")
    require(
        config.is_file(),
        f"There is no run at {path} (no {config}). Give the folder that `unnoise train --out` wrote.",
    )
    require_no_pickle(config)
    return config


def require_finite_weights(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Raises `UnnoiseError` if a weight is NaN or infinite."""
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise UnnoiseError(
                f"{name} in {path} holds NaN or infinity: the training diverged, or the file is damaged. "
                "Take an earlier copy, or train again with a lower learning rate."
            )


def missing_states(folder: Path) -> str:
    """Why there are no states in this folder."""
    try:
        found = len(list(folder.iterdir()))
    except FileNotFoundError:
        return f"{folder} is missing"
    except OSError as error:
        return f"{folder} cannot be read ({(error.strerror or str(error)).lower()})"
    return f"{folder} holds no .safetensors files" if found else f"{folder} is empty"
