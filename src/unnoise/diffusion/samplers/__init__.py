"""Samplers: from noise to images, given any denoiser and any schedule.

A sampler is a generator. It calls `denoise` once or twice a step and yields one `Prediction` a step; the images
of the last prediction are the result. No sampler depends on a network.
"""

from unnoise.diffusion.samplers.adams_bashforth import adams_bashforth
from unnoise.diffusion.samplers.ancestral import ancestral
from unnoise.diffusion.samplers.consistency import consistency
from unnoise.diffusion.samplers.ddim import ddim, require_eta
from unnoise.diffusion.samplers.deis import deis
from unnoise.diffusion.samplers.dpm_solver import dpm_solver
from unnoise.diffusion.samplers.grid import Times, even_times, rates_at, require_steps, time_grid
from unnoise.diffusion.samplers.heun import heun, heun_calls
from unnoise.diffusion.samplers.polish import polish, polished
from unnoise.diffusion.samplers.spacing import SIGMA_MAX, SIGMA_MIN, spaced_times
from unnoise.diffusion.samplers.unipc import unipc

__all__ = [
    "SIGMA_MAX",
    "SIGMA_MIN",
    "Times",
    "adams_bashforth",
    "ancestral",
    "consistency",
    "ddim",
    "deis",
    "dpm_solver",
    "even_times",
    "heun",
    "heun_calls",
    "polish",
    "polished",
    "rates_at",
    "require_eta",
    "require_steps",
    "spaced_times",
    "time_grid",
    "unipc",
]
