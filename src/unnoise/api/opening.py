"""An open run: all that can be done with what was trained."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from unnoise.api.averaging import ema
from unnoise.api.distilling import distill
from unnoise.api.explaining import forward_step, reverse_steps
from unnoise.api.exporting import export
from unnoise.api.generating import generate, reverse
from unnoise.api.inpainting import inpaint
from unnoise.api.measuring import evaluate
from unnoise.api.morphing import morph
from unnoise.api.outpainting import outpaint
from unnoise.api.pages import report
from unnoise.api.pushing import push
from unnoise.api.redrawing import redraw
from unnoise.api.restoring import restore
from unnoise.api.run_facts import run_facts
from unnoise.api.solving import solve
from unnoise.api.train_run import resume
from unnoise.api.varying import invert, vary

if TYPE_CHECKING:
    import torch

    from unnoise.diffusion.diffusion import Diffusion
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
    reverse_steps = reverse_steps
    forward_step = forward_step
    morph = morph
    redraw = redraw
    distill = distill
    vary = vary
    invert = invert
    inpaint = inpaint
    outpaint = outpaint
    restore = restore
    evaluate = evaluate
    solve = solve
    report = report
    facts = run_facts
    ema = ema
    resume = resume
    export = export
    push = push

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

    @cached_property
    def diffusion(self) -> "Diffusion":
        """The plain object underneath: network, moving average, normaliser, schedule, training step.

        As it was saved last; of a run without a state to resume from, both networks have the averaged weights.
        """
        diffusion = self.folder.config.build(self.torch_device)
        if self.folder.states():
            self.folder.restore(diffusion)
        else:
            averaged = self.folder.averaged(self.torch_device).network.state_dict()
            for network in (diffusion.network, diffusion.ema.network):
                network.load_state_dict(averaged)
        diffusion.ema.network.eval()
        return diffusion

    def __repr__(self) -> str:
        return str(self.facts())

    def _repr_html_(self) -> str:
        return self.facts()._repr_html_()


def open_run(path: str | Path, device: str = "auto", *, keep: bool = False) -> OpenRun:
    """Opens the folder of a run, as `train` writes it.

    Args:
        path: the folder.
        device: auto, cpu, cuda, cuda:1 or mps.
        keep: whether loaded weights stay in memory until their files change, as for many small drawings.

    Raises:
        UnnoiseError: where there is no run, or its config.json cannot be used.
    """
    from unnoise.runs.checkpoint import Run
    from unnoise.runs.kept import KeptRun

    return OpenRun((KeptRun if keep else Run).open(Path(path)), device)
