"""Monitoring of a run while it trains: sample quality, loss at each noise level, convergence."""

from unnoise.trainer.monitoring.convergence import MAX_COPIED, best_step, convergence_reason
from unnoise.trainer.monitoring.monitor import Monitor

__all__ = ["MAX_COPIED", "Monitor", "best_step", "convergence_reason"]
