"""Adjustments that faults made to a run: a lower learning rate, float32, new noises.

They are read from events.csv each time, so that a resumed run keeps them and no second file can contradict it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from unnoise.diffusion.diffusion import Diffusion
from unnoise.runs.checkpoint import Progress
from unnoise.runs.history import EventRow
from unnoise.utils.precision import Precision


@dataclass(frozen=True, kw_only=True)
class Adjustments:
    """What differs from config.json after the faults so far."""

    learning_rate_factor: float = 1.0
    in_float32: bool = False
    rollbacks: int = 0
    seconds: float = 0.0
    """Training time at the last rollback: going back does not give time back."""

    @classmethod
    def of(cls, events: Sequence[EventRow]) -> "Adjustments":
        """The adjustments that these events led to."""
        back = [event for event in events if event.back_to is not None]
        if not back:
            return cls()
        return cls(
            learning_rate_factor=back[-1].learning_rate_factor,
            in_float32=back[-1].precision == "float32",
            rollbacks=len(back),
            seconds=max(event.seconds for event in back),
        )

    def apply(self, diffusion: Diffusion, restored: Progress) -> Progress:
        """Adjusts a restored diffusion before its next step; returns its progress with the time lost added."""
        config = diffusion.weights.config
        rate = config.learning_rate * self.learning_rate_factor
        diffusion.weights.config = replace(config, learning_rate=rate)
        if self.in_float32:
            diffusion.set_precision("float32")
        return restored._replace(seconds=max(restored.seconds, self.seconds))

    def precision(self, configured: Precision) -> Precision:
        """The precision of the next steps."""
        return "float32" if self.in_float32 else configured

    def seed(self, seed: int) -> int:
        """The seed of noises and noise levels, a new one after each rollback.

        The same pictures come again at the same steps; only what may have been bad luck does not.
        """
        return seed + (self.rollbacks << 64)
