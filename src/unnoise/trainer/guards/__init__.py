"""Guards of a training run: they find faults, go back to a good state, and change what caused them."""

from unnoise.trainer.guards.adjustments import Adjustments
from unnoise.trainer.guards.faults import Fault, known_to_have_failed, require_finite
from unnoise.trainer.guards.guards import SHEET, Guards

__all__ = ["SHEET", "Adjustments", "Fault", "Guards", "known_to_have_failed", "require_finite"]
