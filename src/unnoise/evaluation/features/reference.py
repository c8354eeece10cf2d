"""The features of a data set are computed once for each extractor, and found again by what they are of."""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol, TypeAlias, runtime_checkable

import torch

from unnoise.data.batches import Indices, Pictures
from unnoise.evaluation.features.extractor import AllVectors, Extractor, digest_of
from unnoise.evaluation.features.store import Store
from unnoise.utils.errors import require

Advance: TypeAlias = Callable[[int], object]
"""Is told how many more pictures are done."""

_VERSION = 1


@runtime_checkable
class KnownPictures(Pictures, Protocol):
    """Pictures that can be told from others: `ImageSet` is one."""

    @property
    def fingerprint(self) -> str:
        """A hash of all of them."""
        ...


def features_of(
    extractor: Extractor,
    pictures: Pictures,
    indices: Indices,
    *,
    batch_size: int = 64,
    progress: Advance | None = None,
) -> AllVectors:
    """The features of the pictures at `indices`, (N,): float32 (N, d) on the CPU.

    Raises:
        UnnoiseError: when there are none, or the batch size is below 1.
    """
    require(len(indices) >= 1, "Features are of at least 1 picture, but there are none to take them of.")
    require(batch_size >= 1, f"The batch size is at least 1, but got {batch_size}.")
    batches = []
    for first in range(0, len(indices), batch_size):
        chosen = indices[first : first + batch_size]
        batches.append(extractor(pictures.take(chosen)))
        if progress is not None:
            progress(len(chosen))
    return torch.cat(batches)


def reference_features(
    extractor: Extractor,
    pictures: KnownPictures,
    indices: Indices,
    *,
    cache: Path | None = None,
    batch_size: int = 64,
    progress: Advance | None = None,
) -> AllVectors:
    """`features_of`, from the cache where they have been computed before, and kept there where not.

    `cache` is a folder; None is that of the data. Warns where it cannot be written.
    """
    store, key = Store(cache), reference_key(extractor, pictures, indices)
    known = (store.read("features", key) or {}).get("features")
    if known is not None and known.dtype == torch.float32 and known.ndim == 2 and len(known) == len(indices):
        if progress is not None:
            progress(len(indices))
        return known
    features = features_of(extractor, pictures, indices, batch_size=batch_size, progress=progress)
    store.write("features", key, {"features": features})
    return features


def reference_key(extractor: Extractor, pictures: KnownPictures, indices: Indices) -> str:
    """A hash of the pictures, which of them and in which order, and the extractor."""
    return digest_of(_VERSION, pictures.fingerprint, indices.astype("<i8").tobytes(), extractor.digest)
