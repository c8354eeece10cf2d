"""Training of a run: the loop, its recorder, guards against faults, and monitoring of quality."""
