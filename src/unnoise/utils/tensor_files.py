"""A file of tensors tells by a checksum whether it is still what was written."""

from collections.abc import Mapping
from hashlib import blake2b
from pathlib import Path
from typing import TypeAlias

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from unnoise.utils.errors import UnnoiseError, require
from unnoise.utils.files import atomic_write
from unnoise.utils.pickles import require_no_pickle

Tensors: TypeAlias = dict[str, Tensor]
Facts: TypeAlias = dict[str, str]

_CHECKSUM = "checksum"


def write_tensors(path: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, str]) -> None:
    """Writes tensors, and what is to be known of them, as safetensors: whole or not at all.

    Raises:
        UnnoiseError: when the operating system refuses, for want of room say; an older file stays.
    """
    whole = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with atomic_write(path) as file:
        file.touch()
        mode = file.stat().st_mode
        try:
            save_file(whole, file, metadata={**facts, _CHECKSUM: checksum(whole, facts)})
        except SafetensorError as error:  # which is how it reports a full disk
            raise OSError(str(error)) from error
        file.chmod(mode)  # safetensors makes files that nobody but their owner may read


def read_tensors(path: Path) -> tuple[Tensors, Facts]:
    """The tensors that `write_tensors` wrote, and what is to be known of them.

    Raises:
        UnnoiseError: when there is no such file, or a single bit of it is not what was written.
    """
    require(path.is_file(), f"{path} does not exist: the run stopped before it saved anything; train it again.")
    require_no_pickle(path)
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            facts = dict(file.metadata() or {})
    except (SafetensorError, OSError, ValueError, RuntimeError) as error:
        raise _damaged(path, str(error)) from None
    written = facts.pop(_CHECKSUM, None)
    if written is None:
        raise _damaged(path, "it carries no checksum, as all that unnoise writes does")
    if written != checksum(tensors, facts):
        raise _damaged(path, "its checksum does not fit what is in it")
    return tensors, facts


def read_facts(path: Path) -> Facts:
    """What is to be known of the tensors, without reading them; nothing where the file can't be used."""
    try:
        with safe_open(path, framework="pt") as file:
            return dict(file.metadata() or {})
    except (SafetensorError, OSError, ValueError):
        return {}


def checksum(tensors: Mapping[str, Tensor], facts: Mapping[str, str]) -> str:
    """BLAKE2b of every name, type, shape and byte, and of the facts."""
    digest = blake2b(digest_size=16)
    digest.update(repr(sorted(facts.items())).encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name!r} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _damaged(path: Path, reason: str) -> UnnoiseError:
    return UnnoiseError(f"{path} is damaged ({reason}): restore it from a copy, or train again.")
