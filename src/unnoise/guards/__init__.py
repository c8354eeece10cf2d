"""A run that goes wrong notices it, goes back to where all was well, changes what made it fail, and says so."""

from unnoise.guards.events import EVENTS, Changes, Event, read_events
from unnoise.guards.faults import Fault, Kind
from unnoise.guards.guards import Guards
from unnoise.guards.numbers import found_now, require_finite
from unnoise.guards.samples import Appearance, SampleWatch, references
from unnoise.guards.spikes import LossWatch

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
