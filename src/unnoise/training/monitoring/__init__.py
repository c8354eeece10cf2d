"""How good is it, and when to stop? Asked while a run trains, for little of its time."""

from unnoise.training.monitoring.convergence import Point, best, converged
from unnoise.training.monitoring.level_losses import LevelLoss, level_losses
from unnoise.training.monitoring.monitor import (
    BEST,
    COPIES,
    LEVELS,
    SHARE,
    SHARE_TO_STOP,
    TABLE,
    Monitor,
    best_step,
    held_out_curve,
    read_monitor,
    verdict,
)
from unnoise.training.monitoring.sample_quality import Quality
from unnoise.utils.timers import TimeShare

__all__ = [
    "BEST",
    "COPIES",
    "LEVELS",
    "SHARE",
    "SHARE_TO_STOP",
    "TABLE",
    "LevelLoss",
    "Monitor",
    "Point",
    "Quality",
    "TimeShare",
    "best",
    "best_step",
    "converged",
    "held_out_curve",
    "level_losses",
    "read_monitor",
    "verdict",
]
