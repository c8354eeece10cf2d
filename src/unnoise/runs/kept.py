"""A run whose weights stay loaded, for programs that draw with it again and again, as the web app does."""

from copy import copy
from dataclasses import dataclass, field
from pathlib import Path

import torch

from unnoise.diffusion.denoiser import Denoiser
from unnoise.runs.checkpoint import Run
from unnoise.utils.files import stamp
from unnoise.utils.out_of_memory import Pieces

_MOST = 3
"""The last and the best weights, and the weaker average that guides them."""


@dataclass(frozen=True)
class KeptRun(Run):
    """A run whose denoisers stay in memory until their files change, as they do while it is trained."""

    kept: dict[tuple[str, Path], tuple[str, Denoiser]] = field(default_factory=dict, compare=False, repr=False)
    """Device and file -> the file as it was then, and what was loaded from it."""

    def averaged(
        self, device: torch.device | str = "cpu", weights: Path | None = None, *, best: bool = False
    ) -> Denoiser:
        """The denoiser, as `Run.averaged`; each call gives one that may be changed."""
        file = weights or (self.best_weights if best else self.path / "model.safetensors")
        try:
            now = stamp(file.stat())
        except OSError:  # the run says what is missing
            return super().averaged(device, weights, best=best)
        before, loaded = self.kept.pop((str(device), file), ("", None))
        if loaded is None or before != now:
            loaded = super().averaged(device, weights, best=best)
        while len(self.kept) >= _MOST:
            self.kept.pop(next(iter(self.kept)))
        self.kept[str(device), file] = now, loaded  # the last that was used
        other = copy(loaded)
        other.pieces = Pieces(loaded.pieces.size, loaded.device)
        return other
