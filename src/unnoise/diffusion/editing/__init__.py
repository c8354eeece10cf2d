"""Editing with a denoiser: inversion, SDEdit, inpainting, outpainting, restoration and variations.

Each edit is a generator like a sampler, for any denoiser and schedule, or turns a denoiser into another one.
"""

from unnoise.diffusion.editing.inpainting import Masks, inpaint, require_same_size
from unnoise.diffusion.editing.inverse_problems import conditioned, conjugate_residuals
from unnoise.diffusion.editing.inversion import Inverted, invert, inverted_noises
from unnoise.diffusion.editing.operators import LUMA, Blur, Downsample, Grey, Mask, Operator
from unnoise.diffusion.editing.outpainting import on_canvas, outpaint, require_larger, windowed
from unnoise.diffusion.editing.sdedit import redraw, require_strength
from unnoise.diffusion.editing.variations import noises_between, require_amount, vary

__all__ = [
    "LUMA",
    "Blur",
    "Downsample",
    "Grey",
    "Inverted",
    "Mask",
    "Masks",
    "Operator",
    "conditioned",
    "conjugate_residuals",
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
