"""Safetensors files with metadata and a checksum of everything in them."""

import json
from collections.abc import Mapping
from hashlib import blake2b
from pathlib import Path
from typing import TypeAlias

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from unnoise.utils.errors import DamagedFileError, UnnoiseError, require, require_permitted
from unnoise.utils.files import atomic_write
from unnoise.utils.out_of_memory import is_out_of_memory
from unnoise.utils.pickles import require_no_pickle

Tensors: TypeAlias = dict[str, Tensor]
Facts: TypeAlias = dict[str, str]

_CHECKSUM = "checksum"


def write_tensors(path: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, str]) -> None:
    """Writes tensors and `facts` (metadata) as a safetensors file, whole or not at all.

    The same tensors and facts give the same bytes.

    Raises:
        UnnoiseError: the operating system refuses, for example because the disk is full; an older file stays.
    """
    whole = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with atomic_write(path) as file:
        file.touch()
        mode = file.stat().st_mode
        try:
            save_file(whole, file, metadata={**facts, _CHECKSUM: checksum(whole, facts)})
        except SafetensorError as error:  # a full disk, for example
            raise OSError(str(error)) from error
        _sort_header(file)
        file.chmod(mode)  # safetensors makes files that only their owner may read


def _sort_header(path: Path) -> None:
    """Sorts the names in the header of a safetensors file, which safetensors writes in random order.

    The header is JSON after its length, 8 bytes, and ends in spaces. Sorted, it is as long as before.
    """
    with path.open("rb+") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
        text = json.dumps(header, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()
        if len(text) <= length:
            file.seek(8)
            file.write(text.ljust(length))


def read_tensors(path: Path) -> tuple[Tensors, Facts]:
    """The tensors and the metadata that `write_tensors` wrote.

    Raises:
        UnnoiseError: no such file, or one that cannot be read here.
        DamagedFileError: a folder, a pickle, or a file of which a single bit has changed.
    """
    if path.is_dir():
        raise _damaged(path, "it is a folder")
    require(path.is_file(), f"{path} does not exist: nothing was saved there yet. Train until the first save.")
    require_no_pickle(path)
    _require_readable(path)
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            facts = dict(file.metadata() or {})
    except (SafetensorError, OSError, ValueError, RuntimeError) as error:
        require_permitted(path, error)
        if is_out_of_memory(error):
            raise
        raise _damaged(path, str(error)) from None
    written = facts.pop(_CHECKSUM, None)
    if written is None:
        raise _damaged(path, "it has no checksum, so unnoise did not write it")
    if written != checksum(tensors, facts):
        raise _damaged(path, "its checksum is wrong")
    return tensors, facts


def _require_readable(path: Path) -> None:
    """Raises `UnnoiseError` where the operating system does not let the file be read, whatever is in it."""
    try:
        with path.open("rb") as file:
            file.read(1)
    except OSError as error:
        require_permitted(path, error)
        reason = (error.strerror or str(error)).lower()
        raise UnnoiseError(f"Cannot read {path}: {reason}. Make it readable, and try again.") from None


def read_facts(path: Path) -> Facts:
    """The metadata of a file, without its tensors; empty where the file can't be read."""
    try:
        with safe_open(path, framework="pt") as file:
            return dict(file.metadata() or {})
    except (SafetensorError, OSError, ValueError):
        return {}


def checksum(tensors: Mapping[str, Tensor], facts: Mapping[str, str]) -> str:
    """BLAKE2b hash of the name, type, shape and bytes of every tensor, and of the metadata."""
    digest = blake2b(digest_size=16)
    digest.update(repr(sorted(facts.items())).encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name!r} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _damaged(path: Path, reason: str) -> DamagedFileError:
    return DamagedFileError(f"{path} is damaged ({reason}). Restore it from a copy, or train again.")
