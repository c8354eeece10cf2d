"""Guards of a training run: they find faults, go back to a good state, and change what caused them."""

from unnoise.training.guards.adjustments import Adjustments
from unnoise.training.guards.faults import Fault, known_to_have_failed, require_finite
from unnoise.training.guards.guards import SHEET, Guards

__all__ = ["SHEET", "Adjustments", "Fault", "Guards", "known_to_have_failed", "require_finite"]
