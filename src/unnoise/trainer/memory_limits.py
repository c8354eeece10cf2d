"""Memory limits of a run: what was found to fit into its device, kept in config.json for the next start."""

import warnings
from dataclasses import replace
from functools import partial

import torch
from accelerate import Accelerator

from unnoise.data.batches import Batches
from unnoise.diffusion.diffusion import Diffusion
from unnoise.runs.checkpoint import Run
from unnoise.runs.compiling import rehearse
from unnoise.trainer.accumulation import Accumulation
from unnoise.utils.files import WriteError


class MemoryLimits:
    """In how many pieces a run's steps go through the network, and how many pictures its samples do.

    Args:
        run: whose config.json has both, as `accumulate` and `pictures_at_once`.
        accelerator: the processes that train it.
    """

    def __init__(self, run: Run, accelerator: Accelerator) -> None:
        self.run = run
        """The run with the newest limits."""
        self._accelerator = accelerator

    def apply(self, diffusion: Diffusion, batches: Batches) -> Accumulation:
        """Sets the limits of a diffusion, before several processes share it; returns that of its steps."""
        config, device = self.run.config, diffusion.denoiser.device
        pieces, shared = diffusion.denoiser.pieces, self._accelerator.num_processes > 1
        if self._accelerator.is_main_process:
            pieces.note = partial(self._note, "pictures_at_once")
        accumulation = Accumulation(config.accumulate, device, shared, partial(self._note, "accumulate"))
        if shared:
            self._agree(accumulation, diffusion, batches)
        return accumulation

    def _agree(self, accumulation: Accumulation, diffusion: Diffusion, batches: Batches) -> None:
        """Tries a step in each process, and takes as many pieces as the one that needs most.

        Later, in a step that they share, it would be too late: the others would wait for the one that failed.
        """
        images, classes = batches[0], batches.classes(0)
        own = Accumulation(accumulation.pieces, accumulation.device)
        kept = [] if diffusion.weights.optimizer.state else _like_the_optimiser(diffusion)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # one for all is enough
            trial = partial(rehearse, diffusion, images, classes, part=batches.part)
            own.fit(len(images), lambda pieces: trial(accumulate=pieces))
        kept.clear()
        needed = torch.tensor([own.pieces], device=self._accelerator.device)
        most = int(self._accelerator.gather(needed).max())
        if most > accumulation.pieces:
            before, accumulation.pieces = accumulation.pieces, most
            if self._accelerator.is_main_process:
                accumulation.tell(before, len(images))

    def _note(self, name: str, value: int) -> None:
        config = replace(self.run.config, **{name: value})  # type: ignore[arg-type]
        try:
            self.run = self.run.with_config(config)
        except WriteError as error:
            warnings.warn(f"{error} The next start has to find out again what fits into memory.", stacklevel=2)


def _like_the_optimiser(diffusion: Diffusion) -> list[torch.Tensor]:
    """Tensors that take the memory of what the optimiser keeps from its first step on."""
    return [torch.empty_like(weight) for weight in diffusion.network.parameters() for _ in range(2)]
