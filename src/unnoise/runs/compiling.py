"""A compiled network computes the same faster, after a wait for the compiler that many pictures repay."""

import copy
import os
import time
import warnings

import torch

from unnoise.data.cache.cache import default_cache
from unnoise.diffusion.diffusion import Diffusion
from unnoise.diffusion.processes import Part
from unnoise.diffusion.samplers.sampling import Sampling
from unnoise.diffusion.tensors import Classes, Pixels
from unnoise.utils.errors import UnnoiseError

_PLACE = "TORCHINDUCTOR_CACHE_DIR"


def compiled(diffusion: Diffusion, num_images: int = 64) -> Diffusion:
    """The same diffusion over its averaged network, compiled (torch.compile): it generates, and can't train.

    The network is called once now, on a batch of `num_images`; other sizes are compiled when they come.

    Raises:
        UnnoiseError: where that can't be done, such as for want of a C++ compiler.
    """
    _keep_what_is_compiled()
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
        raise UnnoiseError(f"{_reason(error)}: install a C++ compiler, or leave --compile out.") from error
    return faster


def compile_in_place(
    diffusion: Diffusion,
    images: Pixels,
    classes: Classes | None = None,
    *,
    part: Part | None = None,
    accumulate: int = 1,
) -> float | None:
    """Lets a diffusion train over its compiled network; the seconds that took, or None where it can't be done.

    The module stays the one it was, under its own names: only its call is another. So states, averages and the
    optimiser know nothing of it. What can't be compiled is left as it was, with a warning.

    Args:
        diffusion: whose network is compiled, for batches like
        images, classes, part, accumulate: those of a `train_step`; nothing is learned from them.
    """
    _keep_what_is_compiled()
    network, started = diffusion.network, time.perf_counter()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the compilers' own advice
            network.compile()
            diffusion.rehearse(images, classes, part=part, accumulate=accumulate)
    except Exception as error:  # noqa: BLE001 (the compilers raise errors of many kinds)
        network._compiled_call_impl = None
        warnings.warn(
            f"{_reason(error)}, and it trains as it is: install a C++ compiler, or leave --compile out.",
            stacklevel=2,
        )
        return None
    return time.perf_counter() - started


def _keep_what_is_compiled() -> None:
    """The next process finds it where unnoise keeps all that can be made again, unless told another place."""
    from torch._inductor.runtime.cache_dir_utils import default_cache_dir

    # PyTorch itself fills this in, with a folder for temporary files, once parts of it are loaded.
    if os.environ.get(_PLACE) in (None, default_cache_dir()):
        os.environ[_PLACE] = str(default_cache() / "compiled")


def _reason(error: Exception) -> str:
    first = str(error).strip().splitlines() or [""]
    return f"The network can't be compiled here ({type(error).__name__}: {first[0]})"
