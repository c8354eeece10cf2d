"""unnoise: diffusion models from scratch. A schedule, a network and a sampler, joined by one function, denoise.

    from unnoise import Diffusion, UNet, OffsetCosine, load

The names below, and the packages (`unnoise.networks`), are imported when they are first used, so that
`unnoise --help` does not wait for PyTorch.
"""

import importlib
import importlib.util
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from unnoise.data import load as load
    from unnoise.diffusion.denoiser import Denoiser as Denoiser
    from unnoise.diffusion.diffusion import Diffusion as Diffusion
    from unnoise.diffusion.normalizer import Normalizer as Normalizer
    from unnoise.diffusion.objectives import Objective as Objective
    from unnoise.diffusion.samplers.sampling import Sampling as Sampling
    from unnoise.diffusion.schedules import LinearBeta as LinearBeta
    from unnoise.diffusion.schedules import OffsetCosine as OffsetCosine
    from unnoise.networks import UNet as UNet
    from unnoise.utils.errors import UnnoiseError as UnnoiseError

__version__ = "0.1.0"

_PLACES = {
    "Denoiser": "diffusion.denoiser",
    "Diffusion": "diffusion.diffusion",
    "LinearBeta": "diffusion.schedules",
    "Normalizer": "diffusion.normalizer",
    "Objective": "diffusion.objectives",
    "OffsetCosine": "diffusion.schedules",
    "Sampling": "diffusion.samplers.sampling",
    "UNet": "networks",
    "UnnoiseError": "utils.errors",
    "load": "data",
}
__all__ = [
    "Denoiser",
    "Diffusion",
    "LinearBeta",
    "Normalizer",
    "Objective",
    "OffsetCosine",
    "Sampling",
    "UNet",
    "UnnoiseError",
    "__version__",
    "load",
]


def __getattr__(name: str) -> object:
    """Imports a name or a package of unnoise when it is first used (PEP 562)."""
    if name in _PLACES:
        return getattr(importlib.import_module(f"unnoise.{_PLACES[name]}"), name)
    if not name.startswith("_") and importlib.util.find_spec(f"unnoise.{name}"):
        return importlib.import_module(f"unnoise.{name}")
    raise AttributeError(f"module 'unnoise' has no attribute {name!r}")
