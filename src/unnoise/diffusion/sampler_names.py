"""Names of the samplers, time spacings, variances and clippings that can be chosen.

This module does not import PyTorch, so that the command line can list the names at once.
"""

from typing import Literal

SamplerName = Literal[
    "ddim",
    "ancestral",
    "heun",
    "dpmpp_2m",
    "dpmpp_3m",
    "dpmpp_2m_sde",
    "dpmpp_3m_sde",
    "adams",
    "ipndm",
    "unipc",
    "deis",
    "consistency",
]
"""See `samplers.sampling.Sampling`."""

Spacing = Literal["uniform", "trailing", "leading", "linspace", "log_snr", "karras"]
"""See `samplers.spacing`. `trailing`, `leading` and `linspace` choose from the timesteps of a discrete schedule
(see `DiscreteSchedule.timesteps`), where `uniform` is `trailing`. On other schedules they are `uniform`.
"""

Variance = Literal["small", "large", "learned"]
"""See `samplers.ancestral`."""

Clip = Literal["none", "static", "dynamic", "images"]
"""See `thresholding.thresholded`."""
