"""Features and learned networks are computed once, and kept under a hash of what they are of.

    <cache>/features/<hash>.safetensors      features of pictures          <cache>/extractors/      networks

The hash is of the pictures' fingerprint, which of them, and the extractor's digest, so nothing that lies there
is ever out of date. Nothing is unpickled; what is damaged is computed again; where nothing can be written, that
is all that is lost.
"""

import warnings
from pathlib import Path
from typing import Literal, TypeAlias

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from unnoise.data.cache.cache import default_cache
from unnoise.utils.errors import UnnoiseError
from unnoise.utils.files import writable

Kind: TypeAlias = Literal["features", "extractors"]

_DAMAGED = (SafetensorError, OSError, ValueError, KeyError)


class Store:
    """The two folders above; `cache` is that of the data where it is None."""

    def __init__(self, cache: Path | None = None) -> None:
        self.root = cache or default_cache()

    def read(self, kind: Kind, key: str) -> dict[str, Tensor] | None:
        """The tensors under this key, or None where there are none, or not whole ones."""
        try:
            return dict(load_file(self.path(kind, key)))
        except _DAMAGED:
            return None

    def write(self, kind: Kind, key: str, tensors: dict[str, Tensor]) -> None:
        """Keeps them; warns where the cache cannot be written."""
        whole = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
        try:
            with writable(self.path(kind, key)) as file:
                try:
                    save_file(whole, file)
                except SafetensorError as error:  # which is how it reports a full disk
                    raise OSError(str(error)) from error
        except UnnoiseError as error:
            reason = getattr(error.__cause__, "strerror", None) or error.__cause__
            warnings.warn(
                f"The cache {str(self.root)!r} cannot be written ({reason}), so {kind} are computed again next "
                f"time: free some space, or set UNNOISE_CACHE to another folder.",
                UserWarning,
                stacklevel=3,
            )

    def path(self, kind: Kind, key: str) -> Path:
        """Where they lie."""
        return self.root / kind / f"{key}.safetensors"
