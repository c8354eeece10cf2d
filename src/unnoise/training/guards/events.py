"""What went wrong in a run stands in events.csv, and what was changed for it is read from there again.

So a run that is resumed goes on with all the changes, and there is no second place that could tell otherwise.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from unnoise.diffusion.denoiser import Precision
from unnoise.diffusion.diffusion import Diffusion
from unnoise.runs.checkpoint import Progress
from unnoise.utils.tables import read_table, write_table

EVENTS = "events.csv"


class Event(NamedTuple):
    """A line of events.csv: a fault, and what was done."""

    step: int
    """At which it was seen."""
    seconds: float
    """Of training until then, those included that were lost."""
    kind: str
    cause: str
    action: str
    back_to: int | None
    """The step from which the run went on; none where it was only told."""
    learning_rate_factor: float
    """Of the recipe's learning rate, from there on."""
    precision: str
    """From there on."""


def read_events(path: Path) -> list[Event]:
    """The events of the run in this folder, the oldest first.

    Raises:
        UnnoiseError: when a line is not what `add_event` wrote.
    """
    return read_table(path / EVENTS, Event)


def add_event(path: Path, event: Event) -> None:
    """Writes the events of the run in this folder anew, with one more."""
    write_table(path / EVENTS, Event, [*read_events(path), event])


@dataclass(frozen=True, kw_only=True)
class Changes:
    """What is other than config.json says, after all that happened."""

    learning_rate_factor: float = 1.0
    in_float32: bool = False
    rollbacks: int = 0
    seconds: float = 0.0
    """Time never goes back: at least so much was spent."""

    @classmethod
    def of(cls, events: Sequence[Event]) -> "Changes":
        """That these events led to."""
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
        """Before its next step; returns how far the run has come, where it was restored to this."""
        config = diffusion.weights.config
        rate = config.learning_rate * self.learning_rate_factor
        diffusion.weights.config = replace(config, learning_rate=rate)
        if self.in_float32:
            diffusion.set_precision("float32")
        return restored._replace(seconds=max(restored.seconds, self.seconds))

    def precision(self, configured: Precision) -> Precision:
        """That the run goes on in."""
        return "float32" if self.in_float32 else configured

    def seed(self, seed: int) -> int:
        """Of the noises and the noise levels: new ones after each time the run went back.

        The same pictures come again at the same steps; only what may have been bad luck does not.
        """
        return seed + (self.rollbacks << 64)
