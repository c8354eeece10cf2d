"""unnoise: a diffusion model is a schedule, a network and a sampler, joined by one function, denoise.

Nothing is imported before it is used, so `unnoise --help` needs no PyTorch:
`unnoise.Diffusion` and `unnoise.schedules` are loaded when they are first named.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from unnoise.diffusion import Diffusion as Diffusion
    from unnoise.errors import UnnoiseError as UnnoiseError
    from unnoise.normalizer import Normalizer as Normalizer

__version__ = "0.1.0"

_CLASSES = {"Diffusion": "diffusion", "Normalizer": "normalizer", "UnnoiseError": "errors"}
_MODULES = (
    "batches",
    "checkpoint",
    "config",
    "data",
    "diffusion",
    "ema",
    "errors",
    "files",
    "interpolation",
    "networks",
    "noise_levels",
    "normalizer",
    "objectives",
    "optimizers",
    "pictures",
    "plan",
    "presets",
    "recording",
    "samplers",
    "schedules",
    "seeds",
    "tensors",
    "training",
)
__all__ = ["Diffusion", "Normalizer", "UnnoiseError", "__version__"]


def __getattr__(name: str) -> object:
    """Loads a class or a module of the package when it is first named (PEP 562)."""
    if name in _CLASSES:
        return getattr(importlib.import_module(f"unnoise.{_CLASSES[name]}"), name)
    if name in _MODULES:
        return importlib.import_module(f"unnoise.{name}")
    raise AttributeError(f"module 'unnoise' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, *_MODULES])
