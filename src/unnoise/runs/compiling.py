"""Compilation of networks by torch.compile: faster calls, after a wait of minutes that is paid once."""

import os
import time
import warnings

import torch

from unnoise.data.cache import default_cache
from unnoise.diffusion.denoiser import Denoiser
from unnoise.diffusion.diffusion import Diffusion
from unnoise.diffusion.samplers.sampling import Sampling
from unnoise.diffusion.tensors import Classes, Pixels
from unnoise.optim.process_group import BatchPart
from unnoise.utils.errors import UnnoiseError
from unnoise.utils.out_of_memory import is_out_of_memory

_PLACE = "TORCHINDUCTOR_CACHE_DIR"


def compiled(denoiser: Denoiser, num_images: int = 64) -> Denoiser:
    """The same denoiser over its compiled network.

    The network is called once now, on a batch of `num_images`; other sizes are compiled when they come.

    Raises:
        UnnoiseError: where that fails, for want of a C++ compiler for example.
    """
    _set_cache_folder()
    noises = torch.zeros(num_images, *denoiser.image_shape, device=denoiser.device)
    middle = torch.full((num_images, 1, 1, 1), 0.5, device=denoiser.device)
    classes: Classes | None = None
    if denoiser.abilities.num_classes:
        classes = torch.zeros(num_images, dtype=torch.long, device=denoiser.device)
    try:
        faster = denoiser.over(torch.compile(denoiser.network))  # type: ignore[arg-type]
        with torch.no_grad():
            faster.guided_denoise(Sampling(), classes)(noises, *faster.schedule(middle))
    except Exception as error:  # the compilers raise errors of many kinds
        raise UnnoiseError(f"{_reason(error)} Install a C++ compiler, or leave --compile out.") from error
    return faster


def compile_training(
    diffusion: Diffusion,
    images: Pixels,
    classes: Classes | None = None,
    *,
    part: BatchPart | None = None,
    accumulate: int = 1,
) -> float | None:
    """Compiles the network that learns; returns the seconds it took, or None where it failed, with a warning.

    The compiled module shares the weights of the network, so states, averages and the optimiser are not
    affected.

    Args:
        diffusion: whose network is compiled.
        images, classes, part, accumulate: as for `Diffusion.train_step`, for batches of this size; nothing is
            learned from them.
    """
    _set_cache_folder()
    denoiser, started = diffusion.denoiser, time.perf_counter()
    network = denoiser.network
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the compilers' own advice
            denoiser.network = torch.compile(network)  # type: ignore[assignment]
            rehearse(diffusion, images, classes, part=part, accumulate=accumulate)
    except Exception as error:  # the compilers raise errors of many kinds
        denoiser.network = network
        if is_out_of_memory(error):
            raise
        warnings.warn(
            f"{_reason(error)} Training goes on without. Install a C++ compiler, or give --no-compile.",
            stacklevel=2,
        )
        return None
    return time.perf_counter() - started


def rehearse(
    diffusion: Diffusion,
    images: Pixels,
    classes: Classes | None = None,
    *,
    part: BatchPart | None = None,
    accumulate: int = 1,
) -> None:
    """Runs the forward and backward pass of a training step, and leaves everything as it was."""
    network = diffusion.denoiser.network
    weights = [parameter for parameter in network.parameters() if parameter.requires_grad]
    kept = [buffer.clone() for buffer in network.buffers()]
    generator = torch.Generator(diffusion.denoiser.device).manual_seed(0)
    network.train()
    batch = diffusion.noised(images, classes, generator, part=part)
    sizes = {len(piece.images): piece for piece in batch.split(accumulate)}
    try:
        for piece in sizes.values():
            loss, _ = diffusion.losses(piece, generator, part)
            torch.autograd.grad(loss, weights, allow_unused=True)
    finally:
        for buffer, value in zip(network.buffers(), kept, strict=True):
            buffer.copy_(value)


def _set_cache_folder() -> None:
    """Keeps compiled code in unnoise's cache folder, unless another is set, for the next process."""
    from torch._inductor.runtime.cache_dir_utils import default_cache_dir

    # PyTorch itself fills this in, with a folder for temporary files, once parts of it are loaded.
    if os.environ.get(_PLACE) in (None, default_cache_dir()):
        os.environ[_PLACE] = str(default_cache() / "compiled")


def _reason(error: Exception) -> str:
    first = str(error).strip().splitlines() or [""]
    return f"The network cannot be compiled here ({type(error).__name__}: {first[0]})."
