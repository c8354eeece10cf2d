"""A clock for tests of training, on which steps and previews take as long as one likes."""

from types import SimpleNamespace

import pytest

from unnoise.diffusion.diffusion import Diffusion
from unnoise.trainer import loop, recorder
from unnoise.trainer.monitoring import monitor
from unnoise.trainer.previews import previews


class Clock:
    """Time that passes only where something is said to take it; it replaces that of training.

    Args:
        patches: undoes it.
        step: seconds of a training step.
    """

    def __init__(self, patches: pytest.MonkeyPatch, step: float) -> None:
        self.now = 0.0
        for module in (loop, recorder, previews, monitor):
            patches.setattr(module, "time", SimpleNamespace(monotonic=lambda: self.now))
        train_step = Diffusion.train_step

        def slow(*arguments, **options):
            self.now += step
            return train_step(*arguments, **options)

        patches.setattr(Diffusion, "train_step", slow)
