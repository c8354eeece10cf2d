r"""A sampler walks from noise to pictures by calling `denoise` again and again; it knows no network.

Each sampler is a generator: it yields one `Prediction` a step, and the images of the last are the result.
"""

from unnoise.diffusion.samplers.adams import adams
from unnoise.diffusion.samplers.ancestral import Variance, ancestral
from unnoise.diffusion.samplers.ddim import ddim, require_eta
from unnoise.diffusion.samplers.deis import deis
from unnoise.diffusion.samplers.dpm_solver import dpm_solver
from unnoise.diffusion.samplers.euler_heun import Churn, euler, heun, steps_with_a_look_ahead
from unnoise.diffusion.samplers.grid import Times, rates_at, require_steps, time_grid
from unnoise.diffusion.samplers.multistep import ADAMS_BASHFORTH, multistep
from unnoise.diffusion.samplers.one_step import consistency
from unnoise.diffusion.samplers.second_order import second_order
from unnoise.diffusion.samplers.spacing import SIGMA_MAX, SIGMA_MIN, Spacing, times_of
from unnoise.diffusion.samplers.unipc import unipc

__all__ = [
    "ADAMS_BASHFORTH",
    "SIGMA_MAX",
    "SIGMA_MIN",
    "Churn",
    "Spacing",
    "Times",
    "Variance",
    "adams",
    "ancestral",
    "consistency",
    "ddim",
    "deis",
    "dpm_solver",
    "euler",
    "heun",
    "multistep",
    "rates_at",
    "require_eta",
    "require_steps",
    "second_order",
    "steps_with_a_look_ahead",
    "time_grid",
    "times_of",
    "unipc",
]
