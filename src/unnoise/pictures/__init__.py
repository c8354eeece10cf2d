"""Pictures of what a model makes: sheets, strips, pairs, animations and charts."""

from unnoise.pictures.animations import save_animation, save_gif, save_video
from unnoise.pictures.loss_curves import LossPoint, loss_curve
from unnoise.pictures.pairs import pairs
from unnoise.pictures.pixels import save_png, to_bytes, to_uint8
from unnoise.pictures.sheets import frames, grid
from unnoise.pictures.strips import strip

__all__ = [
    "LossPoint",
    "frames",
    "grid",
    "loss_curve",
    "pairs",
    "save_animation",
    "save_gif",
    "save_png",
    "save_video",
    "strip",
    "to_bytes",
    "to_uint8",
]
