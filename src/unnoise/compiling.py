"""A compiled network gives the same pictures faster, after a wait for the compiler that many pictures repay."""

import copy

import torch

from unnoise.diffusion import Diffusion
from unnoise.errors import UnnoiseError
from unnoise.sampling import Sampling
from unnoise.tensors import Classes


def compiled(diffusion: Diffusion, num_images: int = 64) -> Diffusion:
    """The same diffusion over its averaged network, compiled (torch.compile): it generates, and can't train.

    The network is called once now, on a batch of `num_images`; other sizes are compiled when they come.

    Raises:
        UnnoiseError: where that can't be done, such as for want of a C++ compiler.
    """
    faster = copy.copy(diffusion.ema)
    noises = torch.zeros(num_images, *faster.image_shape, device=faster.device)
    time = torch.full((num_images, 1, 1, 1), 0.5, device=faster.device)
    classes: Classes | None = None
    if faster.abilities.num_classes:
        classes = torch.zeros(num_images, dtype=torch.long, device=faster.device)
    try:
        faster.network = torch.compile(faster.network)  # type: ignore[assignment]
        with torch.no_grad():
            faster.denoiser(Sampling(), classes)(noises, *faster.schedule(time))
    except Exception as error:  # the compilers raise errors of many kinds
        first = str(error).strip().splitlines() or [""]
        raise UnnoiseError(
            f"The network can't be compiled here ({type(error).__name__}: {first[0]}): install a C++ compiler, "
            "or leave --compile out."
        ) from error
    return faster
