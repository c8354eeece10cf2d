"""Previews of a run while it trains: sample sheets and the held-out loss, in a rhythm that keeps them cheap."""

from unnoise.trainer.previews.polishing import SheetPolish
from unnoise.trainer.previews.previews import Preview, Previews
from unnoise.trainer.previews.samples import Batch, Interrupted, draw_samples, draw_sheet, held_out_loss
from unnoise.trainer.previews.sizes import SAMPLE_SEEDS, PreviewSize

__all__ = [
    "SAMPLE_SEEDS",
    "Batch",
    "Interrupted",
    "Preview",
    "PreviewSize",
    "Previews",
    "SheetPolish",
    "draw_samples",
    "draw_sheet",
    "held_out_loss",
]
