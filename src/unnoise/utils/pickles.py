"""What is no run of ours is refused in one sentence, before anything in it is opened: no pickle ever is."""

import re
import zipfile
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from unnoise.utils.errors import UnnoiseError, require

PICKLES = frozenset({".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".bin", ".joblib"})
"""What files that are unpickled are usually called."""

NEVER = "unnoise never opens pickles, as they can run any program"
_RULE = "A run is the folder that `unnoise train` makes, of JSON and safetensors"
_MAGIC = re.compile(rb"\x80[\x02-\x05]")
"""What a pickle begins with since its second protocol, which is what PyTorch writes."""


def pickle_in(path: Path) -> str | None:
    """What kind of pickle a file holds by its first bytes, in words; None for another file, or none."""
    try:
        with path.open("rb") as file:
            if _MAGIC.match(file.read(2)):
                return "a pickle"
            if not zipfile.is_zipfile(file):
                return None
            with zipfile.ZipFile(file) as archive:
                found = any(name.endswith("data.pkl") for name in archive.namelist())
    except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError):
        return None
    return "an archive of torch.save, with a pickle in it" if found else None


def require_run(path: Path) -> Path:
    """The config.json of the run in this folder.

    Raises:
        UnnoiseError: when there is none: for a file, for a folder of pickles, for nothing at all.
    """
    config = path / "config.json"
    if path.is_file():
        kind = pickle_in(path) or (f"a {path.suffix} file" if path.suffix.lower() in PICKLES else None)
        if kind is not None:
            raise UnnoiseError(f"{_RULE}, but {path} is {kind}, and {NEVER}: name a run's folder.")
        inside = (path.parent / "config.json").is_file()
        remedy = f"name {path.parent}" if inside else "name a folder with a config.json"
        raise UnnoiseError(f"{_RULE}, but {path} is a file: {remedy}.")
    if path.is_dir() and not config.exists():
        held = sorted(one.name for one in path.iterdir() if one.suffix.lower() in PICKLES)
        if held:
            raise UnnoiseError(f"{_RULE}, but {path} holds {held[0]}, and {NEVER}: train a run anew.")
    require(
        config.is_file(),
        f"There is no run at {path} (no {config}): name the folder that `unnoise train --out` made.",
    )
    require_no_pickle(config)
    return config


def require_no_pickle(path: Path) -> None:
    """Raises `UnnoiseError` where a file of a run holds a pickle, whatever it is called."""
    kind = pickle_in(path)
    if kind is not None:
        raise UnnoiseError(f"{path} is {kind}, and {NEVER}: restore it from a copy, or train again.")


def require_finite(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Raises `UnnoiseError` where weights are not numbers, which would draw nothing but noise."""
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise UnnoiseError(
                f"Weights are finite numbers, but {name} in {path} holds NaN or infinity: its training "
                "diverged, or the file is damaged; take an earlier copy, or train with a lower learning rate."
            )
