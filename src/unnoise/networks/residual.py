"""Residual sum at the end of a block."""

import torch

from unnoise.diffusion.tensors import Features


def residual_sum(images: Features, hidden: Features) -> Features:
    """The sum x + h, in the memory of h where that has the precision of x.

    No gradient needs h where it comes out of a convolution, a dense layer, a SiLU or dropout.
    """
    return hidden.add_(images) if hidden.dtype == images.dtype else torch.add(images, hidden)
