r"""A sampler walks from noise to pictures by calling `denoise` again and again; it knows no network.

Each sampler is a generator: it yields one `Prediction` a step, and the images of the last are the result.
"""

from unnoise.samplers.ancestral import Variance, ancestral
from unnoise.samplers.ddim import ddim, require_eta
from unnoise.samplers.grid import Times, rates_at, require_steps, time_grid
from unnoise.samplers.multistep import ADAMS_BASHFORTH, multistep
from unnoise.samplers.second_order import second_order

__all__ = [
    "ADAMS_BASHFORTH",
    "Times",
    "Variance",
    "ancestral",
    "ddim",
    "multistep",
    "rates_at",
    "require_eta",
    "require_steps",
    "second_order",
    "time_grid",
]
