"""unnoise: diffusion models from scratch. A schedule, a network and a sampler, joined by one function, denoise.

    import unnoise as un

    run = un.train("photos", minutes=30)
    run.generate(16, seed=1).save("drawn.png")

The names below, and the packages (`unnoise.networks`), are imported when they are first used, so that neither
`import unnoise` nor `unnoise --help` waits for PyTorch.
"""

import importlib
import importlib.util
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from unnoise.api import Animation as Animation
    from unnoise.api import Drawing as Drawing
    from unnoise.api import OpenRun as OpenRun
    from unnoise.api import Pictures as Pictures
    from unnoise.api import checkup as checkup
    from unnoise.api import compare as compare
    from unnoise.api import demo as demo
    from unnoise.api import import_pipeline as import_pipeline
    from unnoise.api import load as load
    from unnoise.api import open_run as open  # noqa: A004, F401 (people say un.open)
    from unnoise.api import planned as planned
    from unnoise.api import presets as presets
    from unnoise.api import train as train
    from unnoise.api import training as training
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

_FRONT_DOOR = (
    "Animation",
    "Drawing",
    "OpenRun",
    "Pictures",
    "checkup",
    "compare",
    "demo",
    "import_pipeline",
    "load",
    "planned",
    "presets",
    "train",
    "training",
)
_PLACES = {
    **{name: ("api", name) for name in _FRONT_DOOR},
    "open": ("api", "open_run"),
    "Denoiser": ("diffusion.denoiser", "Denoiser"),
    "Diffusion": ("diffusion.diffusion", "Diffusion"),
    "LinearBeta": ("diffusion.schedules", "LinearBeta"),
    "Normalizer": ("diffusion.normalizer", "Normalizer"),
    "Objective": ("diffusion.objectives", "Objective"),
    "OffsetCosine": ("diffusion.schedules", "OffsetCosine"),
    "Sampling": ("diffusion.samplers.sampling", "Sampling"),
    "UNet": ("networks", "UNet"),
    "UnnoiseError": ("utils.errors", "UnnoiseError"),
}
"""Name -> the module below this package, and the name there."""

__all__ = [*_PLACES, "__version__"]


def __getattr__(name: str) -> object:
    """Imports a name or a package of unnoise when it is first used (PEP 562)."""
    if name in _PLACES:
        module, there = _PLACES[name]
        return getattr(importlib.import_module(f"unnoise.{module}"), there)
    if not name.startswith("_") and importlib.util.find_spec(f"unnoise.{name}"):
        return importlib.import_module(f"unnoise.{name}")
    raise AttributeError(f"module 'unnoise' has no attribute {name!r}")
