"""Whatever unnoise makes can be looked at: sheets, strips, animations and charts, each one call away."""

from unnoise.pictures.animation import save_animation
from unnoise.pictures.arrays import to_bytes, to_uint8
from unnoise.pictures.gifs import save_gif
from unnoise.pictures.loss_curves import LossPoint, loss_curve
from unnoise.pictures.pairs import pairs
from unnoise.pictures.png import save_png
from unnoise.pictures.schedule_plots import schedule_plot
from unnoise.pictures.sheets import frames, grid
from unnoise.pictures.strips import strip
from unnoise.pictures.videos import save_video

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
    "schedule_plot",
    "strip",
    "to_bytes",
    "to_uint8",
]
