"""A run that goes wrong notices it, goes back to where all was well, changes what made it fail, and says so."""

from unnoise.training.guards.events import EVENTS, Changes, Event, read_events
from unnoise.training.guards.faults import Fault, Kind
from unnoise.training.guards.guards import Guards
from unnoise.training.guards.numbers import found_now, require_finite
from unnoise.training.guards.samples import Appearance, SampleWatch, references
from unnoise.training.guards.spikes import LossWatch

__all__ = [
    "EVENTS",
    "Appearance",
    "Changes",
    "Event",
    "Fault",
    "Guards",
    "Kind",
    "LossWatch",
    "SampleWatch",
    "found_now",
    "read_events",
    "references",
    "require_finite",
]
