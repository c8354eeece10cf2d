"""unnoise: a diffusion model is a schedule, a network and a sampler, joined by one function, denoise.

Nothing is imported before it is used, so `unnoise --help` needs no PyTorch:
`unnoise.Diffusion` and `unnoise.networks` are loaded when they are first named.
"""

import importlib
import importlib.util
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from unnoise.diffusion.diffusion import Diffusion as Diffusion
    from unnoise.diffusion.normalizer import Normalizer as Normalizer
    from unnoise.utils.errors import UnnoiseError as UnnoiseError

__version__ = "0.1.0"

_CLASSES = {
    "Diffusion": "diffusion.diffusion",
    "Normalizer": "diffusion.normalizer",
    "UnnoiseError": "utils.errors",
}
__all__ = ["Diffusion", "Normalizer", "UnnoiseError", "__version__"]


def __getattr__(name: str) -> object:
    """Loads a class or a module of the package when it is first named (PEP 562)."""
    if name in _CLASSES:
        return getattr(importlib.import_module(f"unnoise.{_CLASSES[name]}"), name)
    if not name.startswith("_") and importlib.util.find_spec(f"unnoise.{name}"):
        return importlib.import_module(f"unnoise.{name}")
    raise AttributeError(f"module 'unnoise' has no attribute {name!r}")
