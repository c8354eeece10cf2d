"""Previews of one run: a sheet of samples that are checked, and the loss of held-out pictures."""

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from PIL import Image

from unnoise import pictures
from unnoise.diffusion.diffusion import Diffusion
from unnoise.diffusion.tensors import Images
from unnoise.runs.checkpoint import Progress, Run
from unnoise.runs.history import PreviewRow
from unnoise.trainer.guards import SHEET, Guards
from unnoise.trainer.previews.log import PreviewLog
from unnoise.trainer.previews.polishing import SheetPolish
from unnoise.trainer.previews.samples import Batch, Interrupted, draw_samples, held_out_loss
from unnoise.trainer.previews.sizes import COLUMNS, PreviewSize


class Preview(NamedTuple):
    """What a preview found."""

    held_out_loss: float | None
    """None where it was not measured."""
    sheet: Image.Image | None
    """None where drawing was interrupted."""
    drawing: float = 0.0
    """Seconds for drawing the samples."""
    testing: float = 0.0
    """Seconds for the held-out loss."""
    verdict: str = "unclear"


class Previews:
    """Draws the previews of a run, and keeps previews.csv.

    Args:
        run, diffusion: what is looked at.
        held_out: batches for the held-out loss, with their classes; may be empty.
        progress: how far the run has come; previews of later steps are dropped.
        guards: check the samples.
        draw: draws samples of the sheet, as the size says; may raise `Interrupted`. `draw_samples` if left out.
        polish: polishes them, after they were checked.
    """

    def __init__(
        self,
        run: Run,
        diffusion: Diffusion,
        held_out: Sequence[Batch],
        progress: Progress,
        guards: Guards | None = None,
        draw: Callable[[PreviewSize], Images] | None = None,
        polish: SheetPolish | None = None,
    ) -> None:
        self.run = run
        self.diffusion = diffusion
        self.held_out = held_out
        self.guards = guards
        self.log = PreviewLog(run, progress, sum(len(some) for some, _ in held_out))
        if guards is not None:
            guards.begin(progress.step, self.log.looks)
        self.polish = polish
        self._draw = draw

    def draw(self, size: PreviewSize, progress: Progress) -> Preview:
        """Measures the loss of held-out pictures where the size says so, draws samples and checks them.

        Raises:
            Fault: when the samples were good before, and no longer are.
        """
        started = time.monotonic()
        loss = held_out_loss(self.diffusion, self.held_out) if size.complete else None
        tested = time.monotonic()
        try:
            images = self._samples(size).cpu()
        except Interrupted:
            return Preview(loss, None)
        drawn, verdict = time.monotonic(), "unclear"
        if self.guards is not None and not size.guided:  # those before were not guided
            steps = size.num_steps
            verdict = self.guards.check_samples(images, progress, name=SHEET, num_steps=steps)
        images = images if self.polish is None else self.polish(images, size)
        shown = images if images.shape[1] <= 4 else images[:, :3]
        sheet = pictures.grid(shown, columns=min(COLUMNS, len(shown)))
        testing = 0.0 if loss is None else tested - started
        return Preview(loss, sheet, drawn - tested, testing, verdict)

    def add(self, size: PreviewSize, progress: Progress, found: Preview, took: float) -> None:
        """Adds a preview that took so many seconds in all to previews.csv."""
        seconds = (found.drawing, found.testing, took)
        self.log.add(PreviewRow(*progress, size.pictures, size.num_steps, *seconds, found.verdict))

    def _samples(self, size: PreviewSize) -> Images:
        if self._draw is not None:
            return self._draw(size)
        return draw_samples(self.diffusion.ema, self.run.config, range(size.pictures), size.num_steps)
