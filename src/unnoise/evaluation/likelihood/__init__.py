"""Likelihood of images under a diffusion model: variational bounds and the probability-flow ODE.

`bound` is the variational bound of the discrete chain, `continuous` the bound in continuous time,
`probability_flow` the likelihood of the ODE; `decoders` holds the last step of the bounds, and the units.
"""

from unnoise.evaluation.likelihood.bound import (
    Bound,
    Term,
    bound_terms,
    noise_chain,
    step_kl,
    sum_terms,
    variational_bound,
)
from unnoise.evaluation.likelihood.continuous import continuous_bound, continuous_terms
from unnoise.evaluation.likelihood.decoders import (
    Decoder,
    DensityDecoder,
    PixelDecoder,
    bits_per_dim,
    dequantize,
    grey_level_volume,
)
from unnoise.evaluation.likelihood.probability_flow import FlowState, flow_log_likelihood, flow_states

__all__ = [
    "Bound",
    "Decoder",
    "DensityDecoder",
    "FlowState",
    "PixelDecoder",
    "Term",
    "bits_per_dim",
    "bound_terms",
    "continuous_bound",
    "continuous_terms",
    "dequantize",
    "flow_log_likelihood",
    "flow_states",
    "grey_level_volume",
    "noise_chain",
    "step_kl",
    "sum_terms",
    "variational_bound",
]
