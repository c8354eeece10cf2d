"""An open run: all that can be done with what was trained."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from unnoise.api.generating import generate, reverse
from unnoise.api.morphing import morph
from unnoise.api.pages import report

if TYPE_CHECKING:
    import torch

    from unnoise.runs.checkpoint import Run
    from unnoise.runs.config import RunConfig


@dataclass(frozen=True)
class OpenRun:
    """A run that can be drawn with, measured, edited with, resumed and exported.

    Args:
        folder: its files.
        device: what computes: auto, cpu, cuda, cuda:1 or mps.
    """

    folder: "Run"
    device: str = "auto"

    generate = generate
    reverse = reverse
    morph = morph
    report = report

    @property
    def path(self) -> Path:
        """The folder."""
        return self.folder.path

    @property
    def config(self) -> "RunConfig":
        """All settings, as in config.json."""
        return self.folder.config

    @cached_property
    def torch_device(self) -> "torch.device":
        """The device that computes; `auto` is the best one of this machine."""
        from unnoise.trainer.loop import choose_device

        return choose_device(self.device)


def open_run(path: str | Path, device: str = "auto") -> OpenRun:
    """Opens the folder of a run, as `train` writes it.

    Args:
        path: the folder.
        device: auto, cpu, cuda, cuda:1 or mps.

    Raises:
        UnnoiseError: where there is no run, or its config.json cannot be used.
    """
    from unnoise.runs.checkpoint import Run

    return OpenRun(Run.open(Path(path)), device)
