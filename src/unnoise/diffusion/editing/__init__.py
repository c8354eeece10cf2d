"""What one does with real pictures and a denoiser: invert, redraw, inpaint, restore, outpaint, vary, morph.

Each is a generator over any denoise and any schedule, as samplers are, or wraps a denoise to be one.
"""

from unnoise.diffusion.editing.inpainting import Masks, inpaint, require_same_size
from unnoise.diffusion.editing.inverse_problems import conditioned, conjugate_residuals
from unnoise.diffusion.editing.inversion import Inverted, invert, inverted_noises
from unnoise.diffusion.editing.operators import LUMA, Blur, Downsample, Grey, Mask, Operator
from unnoise.diffusion.editing.outpainting import on_canvas, outpaint, require_larger, windowed
from unnoise.diffusion.editing.strength import redraw, require_strength
from unnoise.diffusion.editing.variations import noises_between, require_amount, vary
from unnoise.diffusion.editing.walks import Sampler, grid_times

__all__ = [
    "LUMA",
    "Blur",
    "Downsample",
    "Grey",
    "Inverted",
    "Mask",
    "Masks",
    "Operator",
    "Sampler",
    "conditioned",
    "conjugate_residuals",
    "grid_times",
    "inpaint",
    "invert",
    "inverted_noises",
    "noises_between",
    "on_canvas",
    "outpaint",
    "redraw",
    "require_amount",
    "require_larger",
    "require_same_size",
    "require_strength",
    "vary",
    "windowed",
]
