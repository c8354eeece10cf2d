"""Training step as the training loop yields it."""

from typing import NamedTuple

from unnoise.diffusion.diffusion import StepResult
from unnoise.runs.checkpoint import Progress
from unnoise.runs.history import QualityRow
from unnoise.trainer.progress_log import ProgressLine


class TrainStep(NamedTuple):
    """What the loop yields after each step."""

    progress: Progress
    spent: float
    """Fraction of the budget, 0 to 1."""
    learning_rate: float
    result: StepResult
    held_out_loss: float | None = None
    """Measured now and then."""
    quality: QualityRow | None = None
    """Quality of the samples, measured seldom."""
    line: ProgressLine | None = None
    """Line of progress.jsonl, each minute and at the end."""
