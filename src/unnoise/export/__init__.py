"""Export of a run to other programs."""
