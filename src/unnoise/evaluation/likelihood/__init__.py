"""How probable are given images to a model? Bounds and likelihoods, over any denoise and any schedule.

`bound` is the variational bound of the discrete chain, term by term, `continuous` its limit of endless steps,
`flow` the likelihood of the probability-flow ODE, `decoders` the last step to bytes, and the units.
"""

from unnoise.evaluation.likelihood.bound import (
    Bound,
    Term,
    bound_terms,
    noise_ladder,
    step_kl,
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
from unnoise.evaluation.likelihood.flow import flow_log_likelihood, probability_flow

__all__ = [
    "Bound",
    "Decoder",
    "DensityDecoder",
    "PixelDecoder",
    "Term",
    "bits_per_dim",
    "bound_terms",
    "continuous_bound",
    "continuous_terms",
    "dequantize",
    "flow_log_likelihood",
    "grey_level_volume",
    "noise_ladder",
    "probability_flow",
    "step_kl",
    "variational_bound",
]
