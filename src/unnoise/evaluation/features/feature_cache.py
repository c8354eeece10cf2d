"""Feature vectors of a data set, cached on disk.

    <cache>/features/<key>.safetensors       feature vectors
    <cache>/extractors/<key>.safetensors     weights of learned extractors

The key is a hash of everything that the content depends on (for features: the data set's fingerprint, the
chosen pictures and the extractor's digest), so an entry never becomes outdated. Nothing is unpickled. Damaged
entries are computed again; a cache that cannot be written costs time only.
"""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Literal, Protocol, TypeAlias, runtime_checkable

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from unnoise.data.batches import Indices, Pictures
from unnoise.data.cache import default_cache
from unnoise.evaluation.features.extractor import AllVectors, Extractor, digest_of
from unnoise.utils.errors import UnnoiseError, require
from unnoise.utils.files import atomic_write

Kind: TypeAlias = Literal["features", "extractors"]

CountProgress: TypeAlias = Callable[[int], object]
"""Called with the number of pictures done since the last call."""

_VERSION = 1
_DAMAGED = (SafetensorError, OSError, ValueError, KeyError)


@runtime_checkable
class FingerprintedPictures(Pictures, Protocol):
    """Pictures with a hash of their content: `ImageSet`, for one."""

    @property
    def fingerprint(self) -> str:
        """A hash of all pictures."""
        ...


class FeatureCache:
    """Folder of cached features and extractors; None is the cache of the data."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or default_cache()

    def read(self, kind: Kind, key: str) -> dict[str, Tensor] | None:
        """The tensors under this key; None where they are missing or damaged."""
        try:
            return dict(load_file(self.path(kind, key)))
        except _DAMAGED:
            return None

    def write(self, kind: Kind, key: str, tensors: dict[str, Tensor]) -> None:
        """Writes tensors under this key; warns where the cache cannot be written."""
        whole = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
        try:
            with atomic_write(self.path(kind, key)) as file:
                try:
                    save_file(whole, file)
                except SafetensorError as error:  # raised when the disk is full
                    raise OSError(str(error)) from error
        except UnnoiseError as error:
            reason = getattr(error.__cause__, "strerror", None) or error.__cause__
            warnings.warn(
                f"Cannot write the cache {str(self.folder)!r}: {reason}. The {kind} will be computed again "
                f"next time. Free some space, or set UNNOISE_CACHE to another folder.",
                UserWarning,
                stacklevel=3,
            )

    def path(self, kind: Kind, key: str) -> Path:
        """The file of this key."""
        return self.folder / kind / f"{key}.safetensors"


def features_of(
    extractor: Extractor,
    pictures: Pictures,
    indices: Indices,
    *,
    batch_size: int = 64,
    progress: CountProgress | None = None,
) -> AllVectors:
    """Features of the pictures at `indices`, (N,): float32 (N, d) on the CPU.

    Raises:
        UnnoiseError: for no pictures, or a batch size below 1.
    """
    require(len(indices) >= 1, "Features need at least 1 picture, but there are none.")
    require(batch_size >= 1, f"The batch size is at least 1, but got {batch_size}.")
    batches = []
    for first in range(0, len(indices), batch_size):
        chosen = indices[first : first + batch_size]
        batches.append(extractor(pictures.take(chosen)))
        if progress is not None:
            progress(len(chosen))
    return torch.cat(batches)


def cached_features(
    extractor: Extractor,
    pictures: FingerprintedPictures,
    indices: Indices,
    *,
    cache: Path | None = None,
    batch_size: int = 64,
    progress: CountProgress | None = None,
) -> AllVectors:
    """Features of the pictures at `indices`, read from the cache, or computed and written to it.

    `cache` is a folder; None is the cache of the data. Warns where it cannot be written.
    """
    store, key = FeatureCache(cache), feature_key(extractor, pictures, indices)
    known = (store.read("features", key) or {}).get("features")
    if known is not None and known.dtype == torch.float32 and known.ndim == 2 and len(known) == len(indices):
        if progress is not None:
            progress(len(indices))
        return known
    features = features_of(extractor, pictures, indices, batch_size=batch_size, progress=progress)
    store.write("features", key, {"features": features})
    return features


def feature_key(extractor: Extractor, pictures: FingerprintedPictures, indices: Indices) -> str:
    """Hash of the pictures, which of them in which order, and the extractor."""
    return digest_of(_VERSION, pictures.fingerprint, indices.astype("<i8").tobytes(), extractor.digest)
